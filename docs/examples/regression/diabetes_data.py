"""Ten measurements of 442 people with diabetes, and how far the disease was a year later: python diabetes_data.py

The rows come with scikit-learn (Efron et al., "Least angle regression", Annals of Statistics 32(2), 2004). Writes
diabetes.npz: row (N, 10), in the units of the paper, and y (N,), a score of the disease's progression from 25 to 346.
"""

import numpy as np
from sklearn.datasets import load_diabetes


def main() -> None:
    rows, progression = load_diabetes(return_X_y=True, scaled=False)
    np.savez("diabetes.npz", row=rows.astype(np.float32), y=progression.astype(np.float32))
    print(f"diabetes.npz: {len(rows)} people, progression {progression.mean():.0f} ± {progression.std():.0f}")


if __name__ == "__main__":
    main()
