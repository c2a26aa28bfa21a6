"""Turn seglearn's wrist recordings into windows with two labels: python wrist_data.py path/to/watch_dataset.npy

The file is a pickle, which may run anything when it is opened, so edgekd never opens one: run this on a file that you
fetched yourself (pip download --no-deps seglearn==1.2.5). It writes wrist.npz and wrist_test.npz: windows of 100 steps
(2 s at 50 Hz) of acceleration and rotation, a new one every 50 steps, the exercise under y_exercise, the arm under
y_side and the person under group.
"""

import sys

import numpy as np

LENGTH, STRIDE = 100, 50
HELD_OUT = (2, 5, 8)  # of the people's numbers in order: nobody is in both files


def main(path: str) -> None:
    recordings = np.load(path, allow_pickle=True).item()
    people = np.unique(recordings["subject"])
    each = [recordings[name] for name in ("X", "y", "side", "subject")]
    for name, test in (("wrist.npz", False), ("wrist_test.npz", True)):
        x, exercise, side, group = [], [], [], []
        for signal, label, arm, person in zip(*each, strict=True):
            if (int(np.searchsorted(people, person)) in HELD_OUT) != test:
                continue
            for start in range(0, len(signal) - LENGTH + 1, STRIDE):
                x.append(signal[start : start + LENGTH, :6])
                exercise.append(int(label))
                side.append(int(arm))
                group.append(int(person))
        arrays = {"y_exercise": np.asarray(exercise), "y_side": np.asarray(side), "group": np.asarray(group)}
        np.savez(name, signal=np.asarray(x, np.float32), **arrays)
        print(f"{name}: {len(x)} windows of {len(set(group))} people, {np.mean(side):.0%} of the second arm")


if __name__ == "__main__":
    main(sys.argv[1])
