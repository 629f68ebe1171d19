"""What a replay or a sweep came to, for people: figures, a page, files and a summary, all of one `Report`.

`figures` computes it, `page` shows it as one HTML file, `csv` writes everything it leaves out, `text` is the
terminal's. All of it is pure: the same job and result give the same bytes.
"""
