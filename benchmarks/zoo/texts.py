"""Networks of words; those of transformers are its own code with random weights."""

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.zoo.blocks import Block, hidden, mean_of_words

WORDS, LENGTH, WIDTH = 200, 16, 32


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.place = nn.Embedding(WORDS, WIDTH), nn.Parameter(torch.randn(1, LENGTH, WIDTH) * 0.3)
        self.blocks, self.head = nn.ModuleList(Block(WIDTH, 4) for _ in range(2)), nn.Linear(WIDTH, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x, barred = self.table(ids) + self.place, hidden(mask)
        for block in self.blocks:
            x = block(x, barred)
        y: Tensor = self.head(mean_of_words(x, mask))
        return y


def text_encoder() -> nn.Module:
    """Text encoder whose mask is added as finite numbers."""
    return _Encoder()


class _Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True, norm_first=True)
        self.layers, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(WIDTH, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.head(self.layers(self.table(ids), src_key_padding_mask=mask == 0)[:, 0])
        return y


def torch_encoder() -> nn.Module:
    """nn.TransformerEncoder with a mask of yes and no."""
    return _Padded()


class _Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, WIDTH)
        self.ways = nn.ModuleList(nn.Conv1d(WIDTH, 16, kernel) for kernel in (2, 3, 4))
        self.head = nn.Linear(48, 4)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids).transpose(1, 2)
        y: Tensor = self.head(torch.cat([F.relu(way(x)).amax(2) for way in self.ways], 1))
        return y


def text_cnn() -> nn.Module:
    """Convolutions of several widths over words, the largest of each (Kim 2014)."""
    return _Words()


class _Model(nn.Module):
    """A model of transformers: what it gives for ids and, if it takes one, a mask."""

    def __init__(self, model: nn.Module, output: str = "last_hidden_state") -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        given = {"input_ids": ids} | ({} if mask is None else {"attention_mask": mask})
        return {"states": getattr(self.model(**given), self.output)}


SIZE = {"vocab_size": WORDS, "hidden_size": WIDTH, "num_attention_heads": 4, "num_hidden_layers": 2}


def bert_tiny() -> nn.Module:
    """BERT (Devlin et al. 2019), with its pooled output."""
    config = transformers.BertConfig(**SIZE, intermediate_size=64, max_position_embeddings=LENGTH)
    return _Model(transformers.BertModel(config))


def distilbert() -> nn.Module:
    """DistilBERT (Sanh et al. 2019)."""
    config = transformers.DistilBertConfig(
        vocab_size=WORDS, dim=WIDTH, n_heads=4, n_layers=2, hidden_dim=64, max_position_embeddings=LENGTH
    )
    return _Model(transformers.DistilBertModel(config))


def gpt2() -> nn.Module:
    """GPT-2: causal attention, logits of the next word (Radford et al. 2019)."""
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_embd=WIDTH, n_head=4, n_layer=2, n_positions=LENGTH, use_cache=False
    )
    return _Model(transformers.GPT2LMHeadModel(config), "logits")


def llama() -> nn.Module:
    """Llama: RMS norms, rotary places, grouped keys (Touvron et al. 2023)."""
    config = transformers.LlamaConfig(
        **SIZE, intermediate_size=64, num_key_value_heads=2, max_position_embeddings=LENGTH, use_cache=False
    )
    return _Model(transformers.LlamaForCausalLM(config), "logits")


def t5_encoder() -> nn.Module:
    """T5's encoder: biases of relative places, RMS norms (Raffel et al. 2020)."""
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=WIDTH, d_kv=8, num_heads=4, num_layers=2, d_ff=64, use_cache=False
    )
    return _Model(transformers.T5EncoderModel(config))


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.place = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks, self.norm = nn.ModuleList(Block(WIDTH, 4) for _ in range(2)), nn.LayerNorm(WIDTH)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.table(ids) + self.place(torch.arange(LENGTH))
        for block in self.blocks:
            x = block(x, causal=True)
        return {"next": self.norm(x)[:, -1] @ self.table.weight.T}


def decoder_block() -> nn.Module:
    """A causal decoder of our own writing, with tied weights."""
    return _Decoder()
