"""Undo ZIP's old encryption (APPNOTE.TXT 6.1) for many members at once.

Each byte's key hangs on the bytes before it, so a member is decrypted byte by byte, which Python does at two
or three megabytes a second. Members do not hang on each other: each gets a lane of an array, and all lanes
take one byte in one step. The encryption keeps nobody out who tries; DeepFashion's archive comes with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

SALT_BYTES = 12  # random ones, before a member's data
_START_KEYS = (0x12345678, 0x23456789, 0x34567890)
_FACTOR = 134775813
_CRC_STEPS = [zlib.crc32(bytes([byte]), 0xFFFFFFFF) ^ 0xFFFFFFFF for byte in range(256)]  # CRC-32 of a byte
_CRC_TABLE = np.array(_CRC_STEPS, np.uint32)
_BLOCK_BYTES = 4096  # of each lane, in memory at a time
_MIN_LANES = 32  # fewer are faster one by one


def decrypt(encrypted: Sequence[bytes], *, password: bytes) -> list[bytes]:
    """Decrypt members that still have their salt in front; returns their data without it.

    A wrong password gives noise, not an error: check what comes out.
    """
    longest_first = sorted(range(len(encrypted)), key=lambda index: -len(encrypted[index]))
    plain = [bytearray() for _ in encrypted]
    keys = np.repeat(np.array([_keys_of(password)], np.uint32), len(encrypted), axis=0)  # (lanes, 3)
    start = 0
    while lanes := [index for index in longest_first if len(encrypted[index]) > start]:
        is_few = len(lanes) < _MIN_LANES
        end = len(encrypted[lanes[0]]) if is_few else start + _BLOCK_BYTES
        pieces = [encrypted[index][start:end] for index in lanes]
        decrypted = _one_by_one(pieces, keys=keys) if is_few else _in_lanes(pieces, keys=keys)
        for index, piece in zip(lanes, decrypted, strict=True):
            plain[index] += piece
        start = end
    return [bytes(data[SALT_BYTES:]) for data in plain]


def _in_lanes(pieces: Sequence[bytes], *, keys: np.ndarray) -> list[bytes]:
    """Decrypt pieces, the longest first, each with its row of `keys`, which is moved on in place."""
    block = np.zeros((len(pieces), len(pieces[0])), np.uint8)
    for lane, piece in enumerate(pieces):
        block[lane, : len(piece)] = np.frombuffer(piece, np.uint8)
    steps = np.ascontiguousarray(block.T)
    first, second, third = np.ascontiguousarray(keys[: len(pieces)].T)
    for byte in steps:
        mask = third | 2
        byte ^= (mask * (mask ^ 1) >> 8).astype(np.uint8)
        first = (first >> 8) ^ _CRC_TABLE[first.astype(np.uint8) ^ byte]
        second = (second + (first & 0xFF)) * _FACTOR + 1
        third = (third >> 8) ^ _CRC_TABLE[third.astype(np.uint8) ^ (second >> 24).astype(np.uint8)]
    keys[: len(pieces)] = np.stack((first, second, third), axis=1)
    return [row[: len(piece)].tobytes() for row, piece in zip(steps.T, pieces, strict=True)]


def _one_by_one(pieces: Sequence[bytes], *, keys: np.ndarray) -> list[bytes]:
    """The same, a byte at a time."""
    decrypted = []
    for piece, (first, second, third) in zip(pieces, keys.tolist(), strict=False):
        plain = bytearray()
        state = (first, second, third)
        for byte in piece:
            mask = state[2] | 2
            byte ^= mask * (mask ^ 1) >> 8 & 0xFF
            plain.append(byte)
            state = _moved_on(state, byte=byte)
        decrypted.append(bytes(plain))
    return decrypted


def _keys_of(password: bytes) -> tuple[int, int, int]:
    keys = _START_KEYS
    for byte in password:
        keys = _moved_on(keys, byte=byte)
    return keys


def _moved_on(keys: tuple[int, int, int], *, byte: int) -> tuple[int, int, int]:
    """The three keys after a plain byte."""
    first, second, third = keys
    first = first >> 8 ^ _CRC_STEPS[(first ^ byte) & 0xFF]
    second = ((second + (first & 0xFF)) * _FACTOR + 1) & 0xFFFFFFFF
    third = third >> 8 ^ _CRC_STEPS[(third ^ second >> 24) & 0xFF]
    return first, second, third
