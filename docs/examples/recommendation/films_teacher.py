"""A teacher for pairs of users and films: python films_teacher.py trains it on films.npz and rating.npy, in a minute.

It learns the stars, of which students see only whether there were four, and says from them how likely a film is liked.
Matrix factorization after Koren, Bell and Volinsky, IEEE Computer 42(8), 2009.
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WIDTH, EPOCHS, BATCH, RATE, SHRINK = 24, 8, 512, 5e-3, 0.06
LIKED, SHARP = 3.5, 1.8  # the border between three and four stars; 1.7 over the error of a rating


class Teacher(nn.Module):
    """Ids (N, 1) of users and items -> (N, 2)."""

    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(users, WIDTH), nn.Embedding(items, WIDTH)
        self.usual, self.known = nn.Embedding(users, 1), nn.Embedding(items, 1)
        self.mean = nn.Parameter(torch.tensor(LIKED))
        for table, std in ((self.user, 0.1), (self.item, 0.1), (self.usual, 0.01), (self.known, 0.01)):
            nn.init.normal_(table.weight, std=std)

    def rating(self, user: Tensor, item: Tensor) -> Tensor:
        """Stars (N, 1)."""
        user, item = user.reshape(-1), item.reshape(-1)
        both = (self.user(user) * self.item(item)).sum(1, keepdim=True)
        return self.mean + self.usual(user) + self.known(item) + both

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        score = SHARP * (self.rating(user, item) - LIKED)
        return torch.cat([-score / 2, score / 2], 1)


def build(users: int, items: int) -> nn.Module:
    return Teacher(users, items)


def main() -> None:
    torch.manual_seed(0)
    with np.load("films.npz") as data:
        user, item = torch.from_numpy(data["user"]), torch.from_numpy(data["item"])
    stars = torch.from_numpy(np.load("rating.npy")).float()[:, None]
    model = build(943, 1682)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    steps = EPOCHS * (len(stars) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(EPOCHS):
        errors = []
        for rows in torch.randperm(len(stars)).split(BATCH)[: len(stars) // BATCH]:
            error = (model.rating(user[rows], item[rows]) - stars[rows]).square().mean()
            sizes = (model.user(user[rows]).square() + model.item(item[rows]).square()).sum(2).mean()
            optimizer.zero_grad()
            (error + SHRINK * sizes).backward()
            optimizer.step()
            schedule.step()
            errors.append(error.item())
        print(f"epoch {epoch + 1}/{EPOCHS}: error {np.mean(errors) ** 0.5:.3f} stars", flush=True)
    save_file(model.state_dict(), "films_teacher.safetensors")


if __name__ == "__main__":
    main()
