"""Keeps the GPU about half busy until killed, as a robot's other models do.

Bursts of matrix products of 5 ms with pauses as long: the tagger meets a GPU that is sometimes
taken, and has to share its memory's bandwidth.
"""

import argparse
import sys
import time

import torch


def main() -> int:
    """Work and pause until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy-ms", type=float, default=5.0)
    parser.add_argument("--pause-ms", type=float, default=5.0)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_load: torch finds no GPU; run this on a machine with one", file=sys.stderr)
        return 1
    one = torch.randn(4096, 4096, device="cuda", dtype=torch.float16)
    while True:
        started = time.perf_counter()
        while 1000 * (time.perf_counter() - started) < options.busy_ms:
            one @ one
            torch.cuda.synchronize()
        time.sleep(options.pause_ms / 1000)


if __name__ == "__main__":
    sys.exit(main())
