import subprocess
import sys

PROGRAM = """
import os, sys, time
from tulle.kit import native_log
native_log.say_once()
for thread in range(50):
    os.write(2, b"I1123 00:49:22.7%05d   15140 ssl.cc:2563] Handshake failed\\n" % thread)
os.write(2, b"I1123 00:49:23.000000   15140 ssl.cc:2563] Another reason\\n")
os.write(2, b"not gRPC\\nnot gRPC\\n")
print("python's own", file=sys.stderr)
os.write(2, b"end\\n")
sys.stdin.read()
"""


def test_says_each_native_line_once_and_passes_the_rest() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said: list[str] = []
    while not said or said[-1] != "end":
        said.append(process.stderr.readline().rstrip())
        assert said[-1] or process.poll() is None
    process.communicate()
    assert sum("Handshake" in line for line in said) == 1
    assert sum("Another reason" in line for line in said) == 1
    assert said.count("not gRPC") == 2
    assert said.count("python's own") == 1
