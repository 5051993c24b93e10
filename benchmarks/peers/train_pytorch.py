"""Worker: plain PyTorch models of the same shapes.   python train_pytorch.py FOLDER transformer|gru

Careful code without tricks: batches of similar lengths, fused projections, scaled_dot_product_attention, packed
sequences, logits of real tokens only, cross_entropy with built-in smoothing, fused Adam. Eager mode, as most users run
it.
"""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from metronome import Metronome
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

START = 2


class Attention(nn.Module):
    def __init__(self, size, heads, own):
        super().__init__()
        self.heads, self.own = heads, own
        self.query = nn.Linear(size, 3 * size if own else size)
        self.memory = None if own else nn.Linear(size, 2 * size)
        self.out = nn.Linear(size, size)

    def split(self, rows, parts):
        batch, length, width = rows.shape
        return rows.view(batch, length, parts, self.heads, width // parts // self.heads).permute(2, 0, 3, 1, 4)

    def forward(self, rows, memory=None, mask=None, causal=False):
        if self.own:
            query, key, value = self.split(self.query(rows), 3)
        else:
            (query,), (key, value) = self.split(self.query(rows), 1), self.split(self.memory(memory), 2)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm."""

    def __init__(self, size, inner, heads, dropout, decodes):
        super().__init__()
        self.self_attention = Attention(size, heads, own=True)
        self.memory = Attention(size, heads, own=False) if decodes else None
        self.inner, self.outer = nn.Linear(size, inner), nn.Linear(inner, size)
        self.norms = nn.ModuleList(nn.LayerNorm(size, eps=1e-6) for _ in range(3 if decodes else 2))
        self.drop = nn.Dropout(dropout)

    def forward(self, rows, mask=None, memory=None, memory_mask=None):
        decodes = self.memory is not None
        rows = rows + self.drop(self.self_attention(self.norms[0](rows), mask=mask, causal=decodes))
        if decodes:
            rows = rows + self.drop(self.memory(self.norms[1](rows), memory, memory_mask))
        return rows + self.drop(self.outer(F.relu(self.inner(self.norms[-1](rows)))))


class Transformer(nn.Module):
    def __init__(self, vocabulary, d_model, d_ff, num_heads, layers, dropout, **_):
        super().__init__()
        self.table = nn.Embedding(vocabulary, d_model, padding_idx=0)
        nn.init.normal_(self.table.weight, std=d_model**-0.5)
        make = lambda decodes: nn.ModuleList(Block(d_model, d_ff, num_heads, dropout, decodes) for _ in range(layers))
        self.encoder, self.decoder = make(False), make(True)
        self.norms = nn.ModuleList(nn.LayerNorm(d_model, eps=1e-6) for _ in range(2))
        self.drop = nn.Dropout(dropout)
        rates = torch.exp(-math.log(10_000) * torch.arange(d_model // 2) / (d_model // 2 - 1))
        angles = torch.arange(512)[:, None] * rates
        self.register_buffer("places", torch.cat([angles.sin(), angles.cos()], dim=1))

    def embed(self, ids):
        rows = self.table(ids) * self.places.shape[1] ** 0.5
        return self.drop(rows + self.places[: ids.shape[1]])

    def forward(self, source, lengths, target, real):
        mask = (source != 0)[:, None, None, :]
        memory = self.embed(source)
        for block in self.encoder:
            memory = block(memory, mask)
        memory, rows = self.norms[0](memory), self.embed(target)
        for block in self.decoder:
            rows = block(rows, memory=memory, memory_mask=mask)
        return F.linear(self.norms[1](rows[real]), self.table.weight)


class Recurrent(nn.Module):
    """GRU, additive attention, input feeding: the readout is an input of the next step."""

    def __init__(self, vocabulary, units, embedding_size, attention_size, dropout, embedding_dropout, **_):
        super().__init__()
        self.table = nn.Embedding(vocabulary, embedding_size, padding_idx=0)
        nn.init.normal_(self.table.weight, std=embedding_size**-0.5)
        self.scale = embedding_size**0.5
        self.encoder = nn.GRU(embedding_size, units // 2, bidirectional=True, batch_first=True)
        self.bridge = nn.Linear(units, units)
        self.inputs = nn.Linear(embedding_size, 3 * units)  # for all steps at once
        self.feed, self.state = nn.Linear(embedding_size, 3 * units, bias=False), nn.Linear(units, 3 * units)
        self.keys, self.query = nn.Linear(units, attention_size, bias=False), nn.Linear(units, attention_size)
        self.energy = nn.Linear(attention_size, 1, bias=False)
        self.readout = nn.Linear(2 * units, embedding_size)
        self.drop, self.word_drop = nn.Dropout(dropout), nn.Dropout(embedding_dropout)

    def forward(self, source, lengths, target, real):
        packed = pack_padded_sequence(
            self.word_drop(self.table(source) * self.scale), lengths, batch_first=True, enforce_sorted=False
        )
        outputs, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])
        hidden = torch.tanh(self.bridge(torch.cat([last[0], last[1]], dim=1)))
        keys, bias = self.keys(memory), (source == 0) * -1e9
        inputs = self.inputs(self.word_drop(self.table(target) * self.scale)).unbind(1)
        fed, readouts = torch.zeros(len(source), self.readout.out_features), []
        for step in inputs:
            reset, update, new = (step + self.feed(fed)).chunk(3, dim=1)
            of_reset, of_update, of_new = self.state(hidden).chunk(3, dim=1)
            update = torch.sigmoid(update + of_update)
            new = torch.tanh(new + torch.sigmoid(reset + of_reset) * of_new)
            hidden = new + update * (hidden - new)
            scores = self.energy(torch.tanh(keys + self.query(hidden)[:, None])).squeeze(2) + bias
            context = torch.bmm(scores.softmax(1)[:, None], memory)[:, 0]
            fed = self.drop(torch.tanh(self.readout(torch.cat([hidden, context], dim=1))))
            readouts.append(fed)
        return F.linear(torch.stack(readouts, dim=1)[real], self.table.weight)


def batches(source, target, budget, random):
    """An endless stream of batches of similar lengths; rows * longest stays within the budget."""
    lengths = np.array([[len(a), len(b)] for a, b in zip(source, target, strict=True)])
    while True:
        order = np.lexsort((random.random(len(lengths)), lengths[:, 0], lengths[:, 1]))
        batches, rows, widest = [], [], 0
        for row in order:
            wider = max(widest, lengths[row].max())
            if rows and wider * (len(rows) + 1) > budget:
                batches.append(rows)
                rows, wider = [], lengths[row].max()
            rows, widest = [*rows, row], wider
        batches.append(rows)
        random.shuffle(batches)
        yield from batches


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])


def main(folder, kind):
    setup = json.loads((folder / "setup.json").read_text())
    arrays = np.load(folder / "train.npz")
    source, target = (
        [row.tolist() for row in np.split(arrays[f"{side}_values"], arrays[f"{side}_offsets"][1:-1])]
        for side in ("source", "target")
    )
    torch.manual_seed(1)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = {"transformer": Transformer, "gru": Recurrent}[kind](setup["vocabulary"], **setup["models"][kind])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    metronome = Metronome(parameters=sum(weight.numel() for weight in model.parameters()), torch=torch.__version__)
    model.train()
    for rows in batches(source, target, setup["batch_tokens"], np.random.default_rng(1)):
        read, expected = padded([source[row] for row in rows]), padded([target[row] for row in rows])
        lengths = torch.tensor([len(source[row]) for row in rows])
        target_in = torch.cat([torch.full((len(rows), 1), START), expected[:, :-1]], dim=1)
        real = expected != 0
        logits = model(read, lengths, target_in, real)
        loss = F.cross_entropy(logits, expected[real], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        metronome.tick(tokens=int(real.sum()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
