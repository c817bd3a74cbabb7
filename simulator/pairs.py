"""The pairs of the simulated exchange: real names with plausible prices, tick sizes and turnover.

A table and what follows from it. Prices are typical, not quotes; the number of their digits is the tick size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# Base asset and price against USDT, by turnover; the first rows are what a small demo shows.
_AGAINST_USDT = """
BTC 97123.45 ETH 3104.20 SOL 238.41 XRP 1.4321 BNB 642.70 DOGE 0.39512 ADA 0.9874 AVAX 41.85 LINK 17.640
PEPE 0.00002034 SHIB 0.00002481 1000SATS 0.0003017 SUI 3.5120 TON 5.612 TRX 0.2035 DOT 8.914 NEAR 6.742 LTC 96.31
BCH 512.4 UNI 10.841 APT 12.480 HBAR 0.14211 ICP 11.930 XLM 0.46210 ETC 28.64 FIL 5.321 ARB 0.8712 OP 2.1430
RENDER 7.912 INJ 27.150 FET 1.4020 TIA 5.4310 SEI 0.58210 WLD 2.3410 BONK 0.00004712 FLOKI 0.00024130 WIF 3.214
JUP 1.1310 ORDI 38.410 STX 2.0510 AAVE 172.40 MKR 1712.0 LDO 1.341 CRV 0.5234 SNX 2.114 COMP 71.42 SUSHI 0.9012
1INCH 0.3621 DYDX 1.2410 GMX 29.140 ATOM 8.214 ALGO 0.28710 VET 0.04321 THETA 1.824 XTZ 1.214 EOS 0.8412 NEO 14.210
QTUM 3.142 IOTA 0.2431 ZIL 0.02814 FTM 0.9121 SAND 0.5912 MANA 0.5741 AXS 7.124 GALA 0.03741 ENJ 0.2214 CHZ 0.08612
IMX 1.6410 APE 1.4210 GMT 0.1912 RUNE 5.942 KAVA 0.4512 ROSE 0.09412 CELO 0.8314 ONE 0.01712 EGLD 37.140 FLOW 0.8614
MINA 0.7212 KSM 31.420 WAVES 1.5120 GRT 0.2314 BAT 0.2714 ZRX 0.4812 REN 0.04912 BAND 1.5140 OCEAN 0.6214
STORJ 0.6112 ANKR 0.03812 SKL 0.05912 CTSI 0.1914 DASH 32.140 ZEC 51.420 XMR 161.20 RVN 0.02214 DGB 0.00914
SC 0.00612 ICX 0.1812 ONT 0.2314 LSK 1.0140 STEEM 0.2214 PYTH 0.4612 JTO 3.412 STRK 0.5912 DYM 2.1410 MANTA 0.9214
ALT 0.12140 PIXEL 0.19120 PORTAL 0.3712 AEVO 0.4112 ETHFI 2.0140 ENA 0.6412 W 0.3314 TNSR 0.5914 SAGA 1.4210
OMNI 9.140 REZ 0.04812 BB 0.3912 NOT 0.008214 IO 2.4120 ZK 0.16410 LISTA 0.4314 ZRO 4.2140 G 0.03412 BANANA 61.420
TURBO 0.008912 NEIRO 0.00241200 HMSTR 0.003814 CATI 0.4712 EIGEN 2.9140 SCR 0.8412 PNUT 1.5210 ACT 0.6412 THE 1.2140
USUAL 0.7214 MOVE 0.7512 ME 3.8140 PENGU 0.031420 BIO 0.4912 COW 0.7914 CETUS 0.3214 SUPER 1.4120 PENDLE 5.8140
ARKM 2.3140 CYBER 4.1420 MAV 0.2314 EDU 0.6112 ID 0.4712 RDNT 0.08814 HOOK 0.4912 MAGIC 0.4714 HIGH 1.5140
AGLD 1.9140 ACH 0.02914 API3 1.8140 ALICE 1.2140 AUDIO 0.1714 BAKE 0.3114 BEL 0.7912 BLUR 0.3214 BNT 0.7114
BLZ 0.1412 C98 0.1612 CAKE 2.4140 CELR 0.02014 CFX 0.19140 CHR 0.2712 COMBO 0.6914 COTI 0.1314 CVC 0.1614 CVX 3.8140
DAR 0.1814 DENT 0.001312 DEGO 2.2140 DIA 0.9140 DODO 0.1814 DUSK 0.2314 ENS 18.140 ERN 3.0140 FARM 49.14 FIDA 0.3114
FIO 0.02814 FLM 0.07412 FLUX 0.6714 FORTH 3.9140 FUN 0.004214 FXS 2.8140 GAS 5.114 GHST 1.1340 GLM 0.4214
GLMR 0.2414 GNO 248.14 GTC 0.8714 HFT 0.2214 HIVE 0.2714 HOT 0.002214 IDEX 0.05414 ILV 49.14 IOST 0.006914
IOTX 0.04714 JASMY 0.02814 JOE 0.4914 JST 0.03714 KDA 0.8914 KMD 0.3214 KNC 0.5914 LEVER 0.003214 LINA 0.004114
LIT 0.8714 LOKA 0.2414 LPT 16.140 LQTY 1.4140 LRC 0.2214 LUNA 0.4714 LUNC 0.00011412 MASK 3.1140 MBOX 0.1914
MDT 0.06814 METIS 51.14 MLN 18.140 MOVR 11.140 MTL 1.3140 NFP 0.2614 NKN 0.08714 NMR 18.140 NTRN 0.4814 OG 4.614
OGN 0.1314 OM 3.8140 ONG 0.3314 OSMO 0.5514 OXT 0.09214 PAXG 2648.0 PEOPLE 0.07914 PERP 0.8914 PHA 0.1714 POL 0.5314
POLYX 0.2814 PROM 6.914 PROS 0.4914 PUNDIX 0.5214 PYR 3.2140 QI 0.01714 QNT 112.40 QUICK 0.05114 RAD 1.2140
RARE 0.1114 RAY 5.214 REI 0.05714 REQ 0.1514 RIF 0.1014 RLC 2.0140 RONIN 1.8140 RPL 12.140 RSR 0.013140 S 0.7914
SFP 0.7814 SLP 0.003914 SNT 0.04214 SPELL 0.0008914 SSV 26.140 STG 0.4414 STMX 0.006914 STPT 0.06414 STRAX 0.06314
SUN 0.01914 SXP 0.3514 SYN 0.6914 SYS 0.1214 T 0.02914 TFUEL 0.08214 TLM 0.01414 TRB 71.140 TRU 0.1014 TWT 1.1640
UMA 3.1140 UTK 0.08214 VANRY 0.1114 VIC 0.4314 VIDT 0.03314 VOXEL 0.2114 VTHO 0.003714 WAN 0.2314 WAXP 0.05214
WIN 0.00010914 WOO 0.2314 XAI 0.2614 XEC 0.00004214 XNO 1.2140 XVG 0.009714 XVS 9.140 YFI 8914.0 YGG 0.5914
ZEN 17.140 USDC 0.9999 FDUSD 0.9987 EUR 1.0514 LUMIA 1.4140 KAIA 0.1914 DOGS 0.0005914 AI 0.5914 AXL 0.7914
BOME 0.008914 MEME 0.014140 ACE 2.6140 NTR 0.5140 VANA 17.140 SLF 0.3914 CKB 0.016140 RATS 0.00012140
1MBABYDOGE 0.0031400
"""

# The same assets against other currencies: symbol, price, and what one unit of the quote asset is worth in USDT.
_AGAINST_OTHERS = """
BTCEUR 92314.20 1.05 ETHEUR 2951.40 1.05 ETHBTC 0.03196 97000 SOLBTC 0.0024540 97000 BNBBTC 0.006618 97000
BTCTRY 3361240 0.029 USDTTRY 34.58 0.029 BTCUSDC 97118.30 1 ETHUSDC 3103.90 1 SOLUSDC 238.38 1 BTCFDUSD 97140.10 1
ETHFDUSD 3104.80 1 XRPEUR 1.3620 1.05 DOGEEUR 0.37560 1.05 SOLETH 0.07681 3100 BNBETH 0.2070 3100
XRPBTC 0.00001475 97000 LTCBTC 0.000992 97000
"""

_BUSIEST_USDT_PER_S = 23_000.0
_QUIETEST_USDT_PER_S = 5.0
_PEGGED = frozenset({"USDCUSDT", "FDUSDUSDT", "EURUSDT", "USDTTRY"})


class Pair(NamedTuple):
    """One listed pair: a tick is `10 ** -price_digits` of the quote asset, a lot `10 ** -lot_digits` of the base."""

    symbol: str
    price_ticks: int
    """The typical price, to which the random walk reverts."""
    price_digits: int
    lot_digits: int
    turnover_per_s: float
    """Typical turnover a second, in units of the quote asset."""
    daily_volatility: float
    """Standard deviation of a day's relative price change."""


def _pair(rank: int, symbol: str, price: str, quote_value: float) -> Pair:
    whole, _, fraction = price.partition(".")
    ticks = int(whole + fraction)
    turnover = max(_QUIETEST_USDT_PER_S, _BUSIEST_USDT_PER_S / (rank + 1)) / quote_value
    # Expensive assets trade in small lots, cheap ones in whole units, as on a real exchange.
    worth = int(float(price) * quote_value)
    lot_digits = min(5, len(str(worth))) if worth else 0
    volatility = 0.0008 if symbol in _PEGGED else 0.025 + 0.04 * (rank % 11) / 10
    return Pair(symbol, ticks, len(fraction), lot_digits, turnover, volatility)


def _table() -> dict[str, Pair]:
    usdt, others = _AGAINST_USDT.split(), _AGAINST_OTHERS.split()
    rows = [(f"{base}USDT", price, 1.0) for base, price in zip(usdt[::2], usdt[1::2], strict=True)]
    rows += [
        (symbol, price, float(value))
        for symbol, price, value in zip(others[::3], others[1::3], others[2::3], strict=True)
    ]
    return {symbol: _pair(rank, symbol, price, value) for rank, (symbol, price, value) in enumerate(rows)}


PAIRS: dict[str, Pair] = _table()
"""All pairs by symbol, busiest first."""


def choose_pairs(wanted: int | Sequence[str]) -> list[Pair]:
    """The busiest pairs (`wanted`: their number), or those named. Raises `ValueError` for what is not listed."""
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(PAIRS):
            raise ValueError(f"the simulated exchange lists 1 to {len(PAIRS)} symbols, not {wanted}")
        return list(PAIRS.values())[:wanted]
    if unknown := [symbol for symbol in wanted if symbol not in PAIRS]:
        raise ValueError(f"the simulated exchange does not list {', '.join(unknown)}")
    return [PAIRS[symbol] for symbol in dict.fromkeys(wanted)]
