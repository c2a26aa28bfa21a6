"""Networks of sounds and sensors: one dimension, recurrence, and heads of sequences."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.zoo.blocks import Attention, conv, conv1d


class _Line(nn.Module):
    def __init__(self, features: nn.Module, width: int) -> None:
        super().__init__()
        self.features, self.head = features, nn.Linear(width, 6)

    def forward(self, signal: Tensor) -> Tensor:
        y: Tensor = self.head(self.features(signal).mean(2))
        return y


def cnn_1d() -> nn.Module:
    """Convolutions in one dimension, for sensors."""
    body = [conv1d(6, 16, 5, 2), nn.MaxPool1d(2, 2), conv1d(16, 32), conv1d(32, 32, 3, 1, 32), conv1d(32, 48, 1)]
    return _Line(nn.Sequential(*body), 48)


class _Causal(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.one, self.two = (nn.Conv1d(width, width, 3, dilation=dilation) for _ in range(2))
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.one(F.pad(x, (2 * self.dilation, 0)))))
        return F.relu(x + self.two(F.pad(y, (2 * self.dilation, 0))))


def tcn() -> nn.Module:
    """Temporal convolutional network: causal, dilated (Bai et al. 2018)."""
    return _Line(nn.Sequential(nn.Conv1d(6, 24, 1), _Causal(24, 1), _Causal(24, 2), _Causal(24, 4)), 24)


class _Gated(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.gates = nn.Conv1d(width, 2 * width, 3, dilation=dilation, padding=dilation)
        self.out, self.skip = nn.Conv1d(width, width, 1), nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, gate = self.gates(x).chunk(2, 1)
        z = torch.tanh(y) * torch.sigmoid(gate)
        return x + self.out(z), self.skip(z)


class _Wave(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(6, 24, 1)
        self.layers = nn.ModuleList(_Gated(24, dilation) for dilation in (1, 2, 4))
        self.last = nn.Sequential(nn.ReLU(), nn.Conv1d(24, 8, 1))

    def forward(self, signal: Tensor) -> dict[str, Tensor]:
        x, total = self.first(signal), torch.zeros(())
        for layer in self.layers:
            x, skip = layer(x)
            total = total + skip
        return {"levels": self.last(total)}


def wavenet() -> nn.Module:
    """WaveNet's gated, dilated layers with skips to the end (van den Oord et al. 2016)."""
    return _Wave()


class _Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        body: list[nn.Module] = [conv(1, 24, 5, 2)]
        for _ in range(3):
            body += [conv(24, 24, 3, 1, 24), conv(24, 24, 1)]
        self.body, self.head = nn.Sequential(*body), nn.Linear(24, 12)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x: Tensor = self.head(F.dropout(self.body(spectrogram).mean((2, 3)), 0.2, self.training))
        return x


def ds_cnn() -> nn.Module:
    """DS-CNN: keyword spotting on spectrograms (Zhang et al. 2017)."""
    return _Spectral()


class _Recurrent(nn.Module):
    """A recurrent network over time; its last state, or its states, is read."""

    def __init__(self, kind: type[nn.GRU | nn.LSTM], layers: int = 1, both: bool = False) -> None:
        super().__init__()
        self.net = kind(6, 24, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(48 if both else 24, 6)

    def forward(self, signal: Tensor) -> Tensor:
        y: Tensor = self.head(self.net(signal.transpose(1, 2))[0][:, -1])
        return y


def gru() -> nn.Module:
    """Two layers of gated recurrent units (Cho et al. 2014)."""
    return _Recurrent(nn.GRU, 2)


def lstm() -> nn.Module:
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""
    return _Recurrent(nn.LSTM)


def bilstm() -> nn.Module:
    """LSTM that reads in both directions, two layers."""
    return _Recurrent(nn.LSTM, 2, True)


class _Cells(nn.Module):
    """A GRU written out: its cell is called for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(6, 24), nn.Linear(24, 6)

    def forward(self, signal: Tensor) -> Tensor:
        state = signal.new_zeros(signal.shape[0], 24)
        for step in signal.unbind(2):
            state = self.cell(step, state)
        y: Tensor = self.head(state)
        return y


def gru_cells() -> nn.Module:
    """A GRU cell unrolled over the steps."""
    return _Cells()


class _Ctc(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(1, 16), nn.MaxPool2d(2), conv(16, 24), nn.MaxPool2d((2, 1)))
        self.net, self.head = nn.LSTM(24 * 4, 24, batch_first=True, bidirectional=True), nn.Linear(48, 12)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.body(image).flatten(1, 2).transpose(1, 2)
        return {"letters": self.head(self.net(x)[0]).log_softmax(-1)}


def crnn_ctc() -> nn.Module:
    """CRNN: convolutions, bidirectional LSTM, a head for CTC (Shi et al. 2017)."""
    return _Ctc()


class _Voice(nn.Module):
    """Short-time spectrum by a convolution with cosines and sines, an encoder, an LSTM cell with its state outside."""

    def __init__(self) -> None:
        super().__init__()
        size = 64
        angles = 2 * math.pi * torch.outer(torch.arange(size // 2 + 1), torch.arange(size)) / size
        window = torch.hann_window(size)
        self.register_buffer("basis", (torch.cat([angles.cos(), angles.sin()]) * window).unsqueeze(1))
        self.encoder = nn.Sequential(conv1d(33, 32), conv1d(32, 32, 3, 2), conv1d(32, 32, 3, 2))
        self.cell, self.head = nn.LSTMCell(32, 32), nn.Conv1d(32, 1, 1)

    def forward(self, sound: Tensor, memory: Tensor) -> dict[str, Tensor]:
        parts = F.conv1d(sound.unsqueeze(1), self.basis, stride=32).chunk(2, 1)
        x = self.encoder(torch.sqrt(parts[0] ** 2 + parts[1] ** 2 + 1e-6)).mean(2)
        h, c = self.cell(x, (memory[:, 0], memory[:, 1]))
        return {"voice": torch.sigmoid(self.head(F.relu(h).unsqueeze(-1))).squeeze(-1), "next": torch.stack([h, c], 1)}


def voice_activity() -> nn.Module:
    """Voice activity in the manner of Silero VAD, one step with its state as input and output."""
    return _Voice()


class _Conformer(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Linear(6, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.inner = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width)) for _ in range(2)
        )
        self.mix, self.gates = Attention(width, 4), nn.Conv1d(width, 2 * width, 1)
        self.deep, self.norm = nn.Conv1d(width, width, 7, padding=3, groups=width), nn.BatchNorm1d(width)
        self.point, self.head = nn.Conv1d(width, width, 1), nn.Linear(width, 12)

    def forward(self, signal: Tensor) -> dict[str, Tensor]:
        x = self.first(signal.transpose(1, 2))
        x = x + 0.5 * self.inner[0](self.norms[0](x))
        x = x + self.mix(self.norms[1](x))
        y = F.glu(self.gates(self.norms[2](x).transpose(1, 2)), 1)
        x = x + self.point(F.silu(self.norm(self.deep(y)))).transpose(1, 2)
        x = x + 0.5 * self.inner[1](self.norms[3](x))
        return {"letters": self.head(x).log_softmax(-1)}


def conformer() -> nn.Module:
    """A Conformer block with a head for CTC (Gulati et al. 2020)."""
    return _Conformer()


class _Speaker(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.score = nn.Sequential(conv1d(6, 32, 5), conv1d(32, 32)), nn.Conv1d(32, 32, 1)
        self.head = nn.Linear(64, 16)

    def forward(self, signal: Tensor) -> dict[str, Tensor]:
        x = self.body(signal)
        share = torch.tanh(self.score(x)).softmax(2)
        mean = (share * x).sum(2)
        spread = ((share * x * x).sum(2) - mean * mean).clamp(min=1e-4).sqrt()
        return {"embedding": F.normalize(self.head(torch.cat([mean, spread], 1)), dim=1)}


def speaker() -> nn.Module:
    """Speaker embedding: attentive statistics pooling, unit length (Okabe et al. 2018)."""
    return _Speaker()
