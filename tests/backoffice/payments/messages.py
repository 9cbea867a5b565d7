"""A payment file as customers send it, to be changed by tests."""

from collections.abc import Callable

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{message}">
<CstmrCdtTrfInitn>
<GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-11-23T09:00:00+08:00</CreDtTm><NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum>
<InitgPty><Nm>郑州示例有限公司</Nm></InitgPty></GrpHdr>
<PmtInf><PmtInfId>B-1</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt>{day}</ReqdExctnDt>
<Dbtr><Nm>郑州示例有限公司</Nm></Dbtr><DbtrAcct><Id><Othr><Id>6217000000000001</Id></Othr></Id></DbtrAcct>
<DbtrAgt><FinInstnId><{bic}>TOBACNBJ</{bic}></FinInstnId></DbtrAgt>
"""
ROW = """<CdtTrfTxInf><PmtId><InstrId>I-{n}</InstrId><EndToEndId>E-{n}</EndToEndId></PmtId>
<Amt><InstdAmt Ccy="CNY">{amount}</InstdAmt></Amt>
<CdtrAgt><FinInstnId><ClrSysMmbId><MmbId>102491002035</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>
<Cdtr><Nm>收款人{n}</Nm></Cdtr><CdtrAcct><Id><Othr><Id>62280000{n:08d}</Id></Othr></Id></CdtrAcct>
<RmtInf><Ustrd>货款 {n}</Ustrd></RmtInf></CdtTrfTxInf>
"""
TAIL = "</PmtInf></CstmrCdtTrfInitn></Document>\n"


def pain001(
    rows: int = 3, version: int = 9, change: Callable[[str], str] = lambda text: text, total: str | None = None
) -> bytes:
    """Rows of 10.50, 20.50, …; `change` works on the finished text."""
    old = version < 8
    head = HEAD.format(
        message=f"pain.001.001.{version:02d}",
        count=rows,
        total=total or f"{sum(10 * n for n in range(1, rows + 1)) + rows * 0.5:.2f}",
        day="2026-11-24" if old else "<Dt>2026-11-24</Dt>",
        bic="BIC" if version < 4 else "BICFI",
    )
    text = head + "".join(ROW.format(n=n, amount=f"{10 * n}.50") for n in range(1, rows + 1)) + TAIL
    changed = change(text)
    return changed.encode()
