"""Tables behind the universe: hubs, well-known assets with rough USD values, and how many markets each has.

The values only set magnitudes (a seed scatters them); nothing here is market data.
"""

USD, EUR = "USD", "EUR"

FIAT_USD = {"USD": 1.0, "EUR": 1.14, "GBP": 1.31, "AUD": 0.65, "CAD": 0.71, "CHF": 1.24, "JPY": 0.0068}
STABLE_USD = {"USDT": 1.0, "USDC": 1.0}
COIN_HUBS_USD = {"BTC": 63500.0, "ETH": 1774.0}

HUBS = ("USD", "EUR", "BTC", "ETH", "USDT", "USDC", "GBP", "AUD", "CAD", "CHF", "JPY")

QUOTE_ORDER = ("JPY", "CHF", "CAD", "USD", "AUD", "GBP", "EUR", "USDT", "USDC", "BTC", "ETH")
"""Of two assets, the one that stands earlier here is the quote; every other asset is always a base."""

HUB_PAIRS = (
    ("EUR", "USD"), ("BTC", "USD"), ("BTC", "EUR"), ("ETH", "USD"), ("ETH", "EUR"), ("ETH", "BTC"),
    ("USDT", "USD"), ("USDT", "EUR"), ("BTC", "USDT"), ("ETH", "USDT"), ("USDC", "USD"), ("USDC", "EUR"),
    ("USDC", "USDT"), ("BTC", "USDC"), ("ETH", "USDC"), ("GBP", "USD"), ("EUR", "GBP"), ("BTC", "GBP"),
    ("ETH", "GBP"), ("USDT", "GBP"), ("USDC", "GBP"),
    ("AUD", "USD"), ("EUR", "AUD"), ("BTC", "AUD"), ("ETH", "AUD"), ("USDT", "AUD"), ("USDC", "AUD"),
    ("USD", "CAD"), ("EUR", "CAD"), ("BTC", "CAD"), ("ETH", "CAD"), ("USDT", "CAD"), ("USDC", "CAD"),
    ("USD", "CHF"), ("EUR", "CHF"), ("BTC", "CHF"), ("ETH", "CHF"), ("USDT", "CHF"), ("USDC", "CHF"),
    ("USD", "JPY"), ("EUR", "JPY"), ("BTC", "JPY"), ("ETH", "JPY"), ("USDT", "JPY"), ("AUD", "JPY"),
)  # fmt: skip

KNOWN_USD = {
    "SOL": 142.0, "XRP": 2.21, "DOGE": 0.163, "ADA": 0.542, "LTC": 92.4, "LINK": 14.8, "DOT": 3.11,
    "AVAX": 17.2, "BCH": 512.0, "XMR": 338.0, "TRX": 0.281, "XLM": 0.283, "ATOM": 3.02, "UNI": 6.12,
    "AAVE": 182.0, "NEAR": 2.11, "SUI": 2.04, "TON": 1.92, "ALGO": 0.131, "FIL": 1.72, "ETC": 16.1,
    "XTZ": 0.552, "KSM": 9.8, "ICP": 4.31, "ARB": 0.231, "OP": 0.322, "APT": 2.42, "INJ": 5.81, "HBAR": 0.161,
    "SAND": 0.171, "MANA": 0.182, "GRT": 0.0532, "CRV": 0.472, "COMP": 34.2, "MKR": 1450.0, "SNX": 0.812,
    "YFI": 4320.0, "ZEC": 412.0, "DASH": 62.0, "EOS": 0.312, "QTUM": 1.81, "WIF": 0.412, "RENDER": 2.12,
    "TIA": 0.912, "SEI": 0.152, "STX": 0.391, "FET": 0.262, "ENA": 0.331, "ONDO": 0.592, "JUP": 0.312,
    "PYTH": 0.0931, "LDO": 0.812, "IMX": 0.431, "GALA": 0.0082, "AXS": 1.21, "CHZ": 0.0312, "ENJ": 0.0412,
    "BAT": 0.221, "ZRX": 0.181, "KNC": 0.281, "OMG": 0.172, "REN": 0.0081, "STORJ": 0.192, "ANKR": 0.0101,
    "OCEAN": 0.262, "KAVA": 0.162, "FLOW": 0.252, "MINA": 0.112, "CELO": 0.221, "ROSE": 0.0211, "EGLD": 9.4,
    "THETA": 0.482, "RUNE": 0.931, "KAS": 0.0512,
    "TAO": 342.0, "WLD": 0.731, "STRK": 0.112, "ZK": 0.0431, "BLUR": 0.0512, "DYDX": 0.331, "GMX": 9.1,
    "PENDLE": 2.71, "LPT": 5.2, "AR": 4.6, "MASK": 0.921, "ENS": 13.2, "APE": 0.392, "GNO": 132.0,
    "BAL": 0.931, "SUSHI": 0.512, "1INCH": 0.192, "BAND": 0.421, "OXT": 0.0421, "KEEP": 0.0891, "NANO": 0.812,
    "SC": 0.0021, "ICX": 0.0921, "WAVES": 0.782, "REP": 0.881, "MLN": 7.2, "ANT": 6.1, "LSK": 0.291,
    "GHST": 0.331, "POL": 0.182, "TRUMP": 6.1, "PENGU": 0.0161, "FARTCOIN": 0.331, "VIRTUAL": 0.931,
    "HYPE": 38.2, "BERA": 1.62, "MOVE": 0.0612, "EIGEN": 0.812, "ETHFI": 0.912, "W": 0.0612, "ZRO": 1.42,
    "MORPHO": 1.61, "AERO": 0.811, "POPCAT": 0.121, "MOG": 0.00000042, "FLOKI": 0.0000521, "TURBO": 0.0021,
    "BRETT": 0.0212, "MEW": 0.0012, "GIGA": 0.0051, "PNUT": 0.102, "GOAT": 0.0431, "ACT": 0.0212,
    "KMNO": 0.0512, "JTO": 0.482, "DRIFT": 0.212, "RAY": 1.12, "ORCA": 1.32, "PEPE": 0.0000058,
    "SHIB": 0.0000093, "BONK": 0.0000112, "CFG": 0.141, "GLMR": 0.0412,
    "MOVR": 3.9, "ASTR": 0.0142, "SDN": 0.0512, "PHA": 0.0512, "KILT": 0.0312, "ACA": 0.0212, "BNC": 0.0912,
    "KINT": 0.0412, "NODL": 0.00012, "POLS": 0.141, "SRM": 0.0121, "STEP": 0.0212, "FIDA": 0.0512,
    "MNGO": 0.0191, "OXY": 0.0121, "ATLAS": 0.00041, "POLIS": 0.0321, "MSOL": 184.0, "LRC": 0.0612,
    "BNT": 0.512, "CVX": 2.02, "FXS": 0.912, "SPELL": 0.00032, "ALCX": 8.2, "BADGER": 0.821, "RARI": 0.812,
    "SUPER": 0.412, "TLM": 0.0032, "YGG": 0.121, "ALICE": 0.331, "C98": 0.0412, "JASMY": 0.0101,
    "CTSI": 0.0512, "REQ": 0.121, "FORTH": 2.1, "PERP": 0.192, "RAD": 0.521, "API3": 0.581, "NMR": 14.2,
    "UMA": 0.912, "BICO": 0.0912, "CQT": 0.0012, "ACH": 0.0141, "MULTI": 0.412, "QNT": 81.0, "CHR": 0.0612,
    "AUDIO": 0.0412, "BOND": 0.121, "INTR": 0.0021, "LUNA": 0.0912, "LUNC": 0.0000412, "UST": 0.0091,
    "BTT": 0.00000052, "JST": 0.0312, "SUN": 0.0212, "WIN": 0.0000312, "TVK": 0.0412, "TRIBE": 0.412,
    "SYN": 0.0812, "SPA": 0.0121, "STG": 0.152, "T": 0.0132, "TOKE": 0.121, "UNFI": 0.212, "WOO": 0.0412,
    "XRT": 2.1, "AIR": 0.0021, "AKT": 0.731, "AGLD": 0.412, "ARPA": 0.0191, "BIT": 0.812, "BOBA": 0.0512,
    "BSX": 0.000051, "CSM": 0.0021, "DENT": 0.00061, "EUL": 8.1, "EWT": 0.812, "GAL": 1.21, "GARI": 0.0051,
    "GST": 0.0041, "GTC": 0.212, "HFT": 0.0512, "HNT": 2.12, "IDEX": 0.0212, "JUNO": 0.0712, "LCX": 0.0912,
    "LMWR": 0.0512, "MC": 0.0512, "MXC": 0.0012, "MV": 0.0091, "NYM": 0.0412, "OGN": 0.0512, "OSMO": 0.142,
    "PARA": 0.0091, "PLA": 0.0412, "POND": 0.0071, "POWR": 0.121, "PSTAKE": 0.0212, "RBC": 0.0071,
    "RLC": 0.912, "RPL": 4.2, "SAMO": 0.0012, "SBR": 0.00031, "SCRT": 0.152, "SGB": 0.0041, "FLR": 0.0141,
    "SXP": 0.121, "TEER": 0.312, "TUSD": 1.0, "DAI": 1.0, "PYUSD": 1.0, "USDG": 1.0, "RLUSD": 1.0,
    "EURC": 1.14, "EURR": 1.14, "PAXG": 3980.0, "XAUT": 3975.0, "TBTC": 63480.0, "WBTC": 63490.0,
    "CMETH": 1890.0, "METH": 1892.0, "VANRY": 0.0212, "WAXL": 0.212, "WEN": 0.0000212, "ZETA": 0.121,
    "ZEUS": 0.121, "NOS": 0.412, "NTRN": 0.0512, "MNT": 1.21, "MEME": 0.0012, "BEAM": 0.0061,
    "BIGTIME": 0.0412, "BLZ": 0.0312, "BRICK": 0.0121, "CLOUD": 0.0712, "CPOOL": 0.0912, "CVC": 0.0712,
    "CXT": 0.0212, "DBR": 0.0212, "DYM": 0.112, "EDGE": 0.212, "ELX": 0.0412, "FHE": 0.0412, "FWOG": 0.0121,
    "GFI": 0.512, "GRASS": 0.412, "GRIFFAIN": 0.0212, "HDX": 0.0091, "HONEY": 0.0121, "HPOS10I": 0.0412,
    "INIT": 0.121, "JAILSTOOL": 0.0012, "KAITO": 0.912, "KAR": 0.0212, "KERNEL": 0.121, "KET": 0.0121,
    "L3": 0.0412, "LAYER": 0.412, "LOCKIN": 0.0021, "MELANIA": 0.112, "ME": 0.512, "MICHI": 0.0212,
    "MIRROR": 0.0121, "MOODENG": 0.0712, "NEIRO": 0.00021, "NIL": 0.212, "NOT": 0.0012, "NYAN": 0.0041,
    "OMNI": 2.1, "OM": 0.0912, "ORDER": 0.121, "PARTI": 0.112, "PDA": 0.0121, "PLUME": 0.0712,
    "PONKE": 0.0512, "PORTAL": 0.0312, "PRCL": 0.0712, "PROMPT": 0.0712, "PUFFER": 0.121, "RED": 0.312,
    "S": 0.212, "SAGA": 0.121, "SAFE": 0.312, "SIGN": 0.0512, "SKY": 0.0612, "SONIC": 0.121, "SPICE": 0.0012,
    "SPX": 0.812, "SSV": 6.2, "SWARMS": 0.0121, "SWELL": 0.0071, "SYRUP": 0.412, "TNSR": 0.0912,
    "TOSHI": 0.00051, "USUAL": 0.0512, "VELODROME": 0.0312, "VINE": 0.0312, "VVV": 2.1, "WAL": 0.312,
    "WCT": 0.212, "XCN": 0.0121, "XNY": 0.0041, "ZEREBRO": 0.0212, "ZEX": 0.0212, "ZORA": 0.0512,
}  # fmt: skip
"""Most traded first."""

EXTRA_MARKETS = ((10, 8), (12, 5), (4, 3), (19, 2), (31, 1))
"""How many markets beyond USD and EUR the most traded assets have: (assets, markets each). With `HUB_PAIRS`
and `BOTH_LISTED` this gives the full size of the universe: 1,228 pairs, 1,331 triangles, EUR/USD in 432 of
them."""

BOTH_LISTED = 423
SINGLE_LISTED = 116
"""Assets (hubs not counted) with markets in USD and EUR, and with one market only."""

STEMS = (
    "KOR",
    "VEL",
    "NAX",
    "ZIR",
    "TAL",
    "MIR",
    "QUA",
    "LUM",
    "PYX",
    "DRA",
    "FEN",
    "HEX",
    "OBO",
    "RUV",
    "SKA",
    "WYN",
)
ENDINGS = ("A", "O", "I", "E", "UM", "IX", "ON", "IS", "EN", "AR", "US", "OS", "IA")
"""Tickers of assets beyond the known ones."""

EXTRA_QUOTES_A = ("BTC", "USDT", "GBP", "ETH", "USDC", "AUD", "CAD", "JPY", "CHF")
EXTRA_QUOTES_B = ("USDT", "USDC", "GBP", "BTC", "ETH", "AUD", "CHF", "CAD", "JPY")
"""Quotes beyond USD and EUR, in the order in which an asset gets them (alternating by rank)."""
