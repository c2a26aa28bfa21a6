"""Turn seglearn's wrist recordings into windows: python watch_data.py path/to/watch_dataset.npy

The file is a pickle, which may run anything when it is opened, so edgekd never opens one: run this on a file that you
fetched yourself (pip download --no-deps seglearn==1.2.5). It writes watch.npz and watch_test.npz: windows of 100 steps
(2 s at 50 Hz) of acceleration and rotation, a new one every 50 steps, the exercise under y and the person under group.
"""

import sys

import numpy as np

LENGTH, STRIDE = 100, 50
HELD_OUT = (2, 5, 8)  # of the people's numbers in order: nobody is in both files


def main(path: str) -> None:
    recordings = np.load(path, allow_pickle=True).item()
    people = np.unique(recordings["subject"])
    for name, test in (("watch.npz", False), ("watch_test.npz", True)):
        x, y, group = [], [], []
        for signal, label, person in zip(recordings["X"], recordings["y"], recordings["subject"], strict=True):
            if (int(np.searchsorted(people, person)) in HELD_OUT) != test:
                continue
            for start in range(0, len(signal) - LENGTH + 1, STRIDE):
                x.append(signal[start : start + LENGTH, :6])
                y.append(int(label))
                group.append(int(person))
        np.savez(name, signal=np.asarray(x, np.float32), y=np.asarray(y), group=np.asarray(group))
        print(f"{name}: {len(y)} windows of {len(set(group))} people, {len(set(y))} exercises")


if __name__ == "__main__":
    main(sys.argv[1])
