"""Files that other libraries wrote, told by how they begin."""

from __future__ import annotations

__all__ = ["described"]

#: How compressed files begin: gzip, zlib at its levels, bzip2, xz, LZMA and LZ4.
_COMPRESSED = (
    *(b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),
    *(b"BZh", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18"),
)
#: A pickle of protocol 2 or later.
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def described(data: bytes) -> str | None:
    """Return what to tell who loads a file of joblib, pickle or torch, else None."""
    if data.startswith((*_PICKLES, *_COMPRESSED)):
        kind = "a pickle" if data.startswith(_PICKLES) else "a compressed file"
        return (
            f"it is {kind}, as joblib.dump or pickle.dump write it. To read a pickle "
            "runs whatever code is in it: if you trust who wrote it, read it with "
            "joblib.load, and write it by sklearn_ae.save, which load reads safely"
        )
    if data.startswith(b"PK") and b"/data.pkl" in data[:4096]:
        return (
            "torch.save wrote it. Read it with torch.load: load reads what "
            "sklearn_ae.save wrote"
        )
    return None
