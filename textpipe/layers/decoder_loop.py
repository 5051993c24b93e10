"""The layers of a decoder in one loop, for when a step must wait for the one before.   Shapes: U target, B batch,
H units, G gates, C context, R readout, and those of attention.py. Sequences are time-major: [U, B, .].

Input feeding (Luong et al. 2015, section 3.3) lets the lowest layer read the readout of the step before; coverage lets
attention see what it has attended to. Either ties the readout, attention and all cells of a step together, so that no
layer can run over all steps by itself. The loop keeps to the ways of rnn_loop.py: what depends on no step before is
computed for all steps outside of it, so are the slopes of the gates when gradients are wanted, the loop backward carries
the gradients of what the loop forward carries, and the gradient of each weight is one product after it.
"""

from keras import ops, tree

from textpipe.layers.rnn_loop import across, shift
from textpipe.layers.scan import scan


class DecoderLoop:
    """One step of a decoder (`advance`), and all steps with their gradient (`run`).

    cells: from the lowest layer up; attention: asked by the lowest layer, None for none; residual: whether a layer's
    output is added to that of the layer below.

    What the loop reads, as nests of tensors:
        weights  {"recurrent": a cell's recurrent_weights() for each layer, "upper": (kernel, bias) for each but the
                 lowest, "attention": attention.loop_weights(), "readout": (kernel, bias), and with input feeding
                 "fed": [R, G * H]}
        memory   attention.prepare(...), {} without attention
        carry    {"states": a cell's state for each layer, and where used "readout": [B, R], "covered": [B, T]}
        masks    {"recurrent": [B, H] or None for each layer, and with dropout "between": [U, B, H] for each layer but
                 the lowest, "readout": [U, B, R]}
    """

    def __init__(self, cells, attention, *, residual=False, dropout=0.0):
        self.cells, self.attention, self.residual, self.dropout = cells, attention, residual, dropout

    def advance(self, gates, carry, weights, memory, bias, masks):
        """One step: gates [B, G * H], what the lowest layer reads -> what is carried on.

        Beside what was carried before it has "readout" [B, R] and, with attention, "attention" [B, T] (of each head)
        and "read", what was read of the values. bias [B, T] is 0 for tokens and MASKED for padding.
        """
        recurrent, dropped, context, after = weights["recurrent"], masks["recurrent"], None, {}
        if "fed" in weights:
            gates = gates + ops.matmul(carry["readout"], weights["fed"])
        state, kept = self.cells[0].advance(gates, carry["states"][0], recurrent[0], dropped[0])
        states, kept, below = [state], [kept], state[0]
        if self.attention is not None:
            query = self.attention.project(below, weights["attention"])
            covered = carry.get("covered")
            asked = weights["attention"]
            read, attention = self.attention.ask(query, bias=bias, weights=asked, covered=covered, **memory)
            context = self.attention.merge(read, asked)
            after = {"read": read, "attention": attention}
            if covered is not None:
                after["covered"] = covered + attention
        for layer in range(1, len(self.cells)):
            kernel, offset = weights["upper"][layer - 1]
            inputs = beside(below * masks["between"][layer - 1] if "between" in masks else below, context)
            gates = ops.matmul(inputs, kernel) + offset
            state = carry["states"][layer]
            state, more = self.cells[layer].advance(gates, state, recurrent[layer], dropped[layer])
            states.append(state)
            kept.append(more)
            below = below + state[0] if self.residual else state[0]
        kernel, offset = weights["readout"]
        readout = ops.tanh(ops.matmul(beside(below, context), kernel) + offset)
        after["readout"] = readout * masks["readout"] if "readout" in masks else readout
        return {"states": tuple(states), "kept": tuple(kept), **after}

    def run(self, gates, carry, weights, memory, bias, masks):
        """All steps: gates [U, B, G * H], what is carried into the first step -> readouts [U, B, R].

        Gradients go to gates, carry, weights and memory.
        """
        given = (gates, carry, weights, memory)
        stepped = {name: masks[name] for name in ("between", "readout") if name in masks}
        constant = {"recurrent": masks["recurrent"]}

        @ops.custom_gradient
        def loop(*flat):
            gates, first, weights, memory = tree.pack_sequence_as(given, list(flat))

            def forward(carry, step):
                after = self.advance(step["gates"], carry, weights, memory, bias, {**constant, **step["masks"]})
                return after, after

            # What no step reads of the one before is carried too: a scan gives what it carries.
            pairs = zip(self.cells, first["states"], strict=True)
            kept = tuple(cell.nothing_kept(state[0]) for cell, state in pairs)
            start = {"kept": kept, "readout": ops.zeros_like(gates[0, :, :1] * weights["readout"][1]), **first}
            if self.attention is not None:
                values = memory["values"]
                start |= {"read": ops.zeros_like(values[..., 0, :]), "attention": ops.zeros_like(values[..., 0])}
            _, steps = scan(forward, start, {"gates": gates, "masks": stepped})

            def gradient(upstream):
                return tree.flatten(self.gradients(upstream, steps, first, weights, memory, masks))

            return steps["readout"], gradient

        return loop(*tree.flatten(given))

    def gradients(self, upstream, steps, first, weights, memory, masks):
        """The gradients of gates, of what is carried into the first step, of weights and of memory.

        upstream [U, B, R]: the readouts' gradient; steps: what `advance` gave, for all steps.
        """
        cells, attention, asked = self.cells, self.attention, weights["attention"]
        dropped, between = masks["recurrent"], masks.get("between")
        before = {name: tree.map_structure(shift, steps[name], part) for name, part in first.items()}
        size = cells[0].units

        # What the loop forward computed and did not keep, for all steps at once.
        context = attention.merge(steps["read"], asked) if attention is not None else None
        outputs, inputs, slopes = [steps["states"][0][0]], [], []
        for layer, cell in enumerate(cells):
            slopes.append(cell.slopes(steps["kept"][layer], before["states"][layer]))
            if layer:
                below = outputs[-1] * between[layer - 1] if between is not None else outputs[-1]
                inputs.append(beside(below, context))
                hidden = steps["states"][layer][0]
                outputs.append(hidden + outputs[-1] if self.residual else hidden)
        top, readout = beside(outputs[-1], context), steps["readout"]
        squares = readout * readout
        # mask * (1 - tanh ** 2), where the readout is mask * tanh and the mask 0 or 1 / (1 - dropout).
        steep = masks["readout"] - squares * (1 - self.dropout) if "readout" in masks else 1 - squares

        turned = tree.map_structure(ops.transpose, {
            "recurrent": [part[0] for part in weights["recurrent"]],
            "upper": [kernel for kernel, _ in weights["upper"]],
            "readout": weights["readout"][0],
            **{name: part for name, part in asked.items() if name in ("query", "output")},
            **{name: part for name, part in weights.items() if name == "fed"},
        })  # fmt: skip
        read = {"upstream": upstream, "steep": steep, "slopes": slopes}
        if between is not None:
            read["between"] = between
        if attention is not None:
            read["query"] = attention.project(outputs[0], asked)
            read["attention"] = steps["attention"]
            if "covered" in before:
                read["covered"] = before["covered"]

        def backward(carry, step):
            d_readout = step["upstream"] + carry["readout"] if "fed" in weights else step["upstream"]
            d_squashed = d_readout * step["steep"]
            d_below, d_context = apart(ops.matmul(d_squashed, turned["readout"]), size)
            after, totals, d_states = {"squashed": d_squashed}, [None] * len(cells), [None] * len(cells)

            def retreat(layer):
                d_hidden, *others = carry["states"][layer]
                d_state = (d_hidden + d_below, *others)
                d_states[layer], totals[layer] = cells[layer].retreat(
                    d_state, step["slopes"][layer][0], turned["recurrent"][layer], dropped[layer]
                )
                return cells[layer].to_gates(totals[layer], *step["slopes"][layer])

            for layer in range(len(cells) - 1, 0, -1):
                d_inputs, more = apart(ops.matmul(retreat(layer), turned["upper"][layer - 1]), size)
                d_context = d_context + more if more is not None else None
                if between is not None:
                    d_inputs = d_inputs * step["between"][layer - 1]
                d_below = d_inputs + d_below if self.residual else d_inputs
            if attention is not None:
                d_read = attention.heads(ops.matmul(d_context, turned["output"])) if "output" in asked else d_context
                d_query, d_scores, d_covered = attention.turn(
                    d_read,
                    carry.get("covered"),
                    step["attention"],
                    step["query"],
                    weights=asked,
                    covered=step.get("covered"),
                    **memory,
                )
                after |= {"context": d_context, "query": d_query, "scores": d_scores}
                if d_covered is not None:
                    after["covered"] = d_covered
                flat = attention.joined(d_query)
                d_below = d_below + (ops.matmul(flat, turned["query"]) if "query" in asked else flat)
            d_gates = retreat(0)
            if "fed" in weights:
                after["readout"] = ops.matmul(d_gates, turned["fed"])
            after |= {"states": tuple(d_states), "totals": tuple(totals)}
            return after, after

        # What is carried has the shapes of what a step gives.
        nothing = {"squashed": readout, "states": steps["states"], "totals": steps["states"]}
        if "fed" in weights:
            nothing["readout"] = readout
        if attention is not None:
            nothing |= {"context": context, "query": read["query"], "scores": steps["attention"]}
            if "covered" in before:
                nothing["covered"] = steps["covered"]
        carry, found = scan(backward, tree.map_structure(lambda part: ops.zeros_like(part[0]), nothing), read,
                                reverse=True)  # fmt: skip

        entering = [cell.to_gates(found["totals"][layer], *slopes[layer]) for layer, cell in enumerate(cells)]
        d_weights = {
            "attention": {},
            "recurrent": tuple(
                cell.collect(*parts)
                for cell, *parts in zip(
                    cells, entering, found["totals"], slopes, before["states"], dropped, strict=True
                )
            ),
            "upper": tuple(dense(part, d_part) for part, d_part in zip(inputs, entering[1:], strict=True)),
            "readout": dense(top, found["squashed"]),
        }
        if "fed" in weights:
            d_weights["fed"] = across(before["readout"], entering[0])
        d_memory = {}
        if attention is not None:
            d_read = found["context"]
            if "output" in asked:
                d_weights["attention"]["output"] = across(attention.joined(steps["read"]), d_read)
                d_read = attention.heads(ops.matmul(d_read, turned["output"]))
            if "query" in asked:
                d_weights["attention"]["query"] = across(outputs[0], attention.joined(found["query"]))
            keys, values, more = attention.collect(
                d_read, found["scores"], steps["attention"], read["query"], memory["keys"], asked, before.get("covered")
            )
            d_weights["attention"] |= more
            d_memory = {"keys": keys, "values": values}
        return entering[0], {name: carry[name] for name in first}, d_weights, d_memory


def beside(below, context):
    """[..., H] and [..., C] or None -> [..., H + C]."""
    return below if context is None else ops.concatenate([below, context], axis=-1)


def apart(both, size):
    """The reverse of `beside`: [..., H + C] -> [..., H], [..., C] or None."""
    return (both[..., :size], both[..., size:]) if both.shape[-1] > size else (both, None)


def dense(inputs, d_outputs):
    """The gradients of kernel and bias of `inputs kernel + bias`."""
    return across(inputs, d_outputs), ops.sum(d_outputs, axis=(0, 1))
