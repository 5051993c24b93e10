"""All layers of a decoder in one loop, for models in which each step depends on the one before.   Shapes: U target, B batch,
H units, G gates, C context, R readout, and those of attention.py. Sequences are time-major: [U, B, .].

With input feeding (Luong et al. 2015, section 3.3) the lowest layer reads the readout of the previous step; with coverage
attention sees its own past weights. Either ties the readout, attention and all cells of a step together, so that no layer
can run over all steps alone. The loop is organized as in rnn_loop.py: what depends on no previous step is computed
outside of it for all steps, and so are the local gradients of the gates; the backward loop carries the gradients of what
the forward loop carries; the gradient of each weight is one product after it.
"""

from keras import ops, tree

from textpipe.layers.rnn_loop import kernel_gradient, previous_states
from textpipe.layers.scan import scan


class DecoderLoop:
    """One step of a decoder (`forward_step`), and all steps with their gradient (`run`).

    cells: from the lowest layer up; attention: queried by the lowest layer, or None; residual: whether a layer's
    output is added to that of the layer below.

    Inputs of the loop, as nests of tensors:
        weights  {"recurrent": a cell's recurrent_weights() for each layer, "upper": (kernel, bias) for each but the
                 lowest, "attention": attention.loop_weights(), "readout": (kernel, bias), and with input feeding
                 "feedback": [R, G * H]}
        memory   attention.prepare(...), {} without attention
        carry    {"states": a cell's state for each layer, and where used "readout": [B, R], "covered": [B, T]}
        masks    {"recurrent": [B, H] or None for each layer, and with dropout "between": [U, B, H] for each layer but
                 the lowest, "readout": [U, B, R]}
    """

    def __init__(self, cells, attention, *, residual=False, dropout=0.0):
        self.cells, self.attention, self.residual, self.dropout = cells, attention, residual, dropout

    def forward_step(self, gates, carry, weights, memory, bias, masks):
        """One step: gates [B, G * H] of the lowest layer, from its input -> the next carry.

        The result also has "residuals" of the cells, "readout" [B, R] and, with attention, "attention" [B, T] (of each
        head) and "read", the weighted sum of the values. bias [B, T] is 0 for tokens and MASKED for padding.
        """
        recurrent, recurrent_masks, context, after = weights["recurrent"], masks["recurrent"], None, {}
        if "feedback" in weights:
            gates = gates + ops.matmul(carry["readout"], weights["feedback"])
        state, cell_residuals = self.cells[0].forward_step(gates, carry["states"][0], recurrent[0], recurrent_masks[0])
        states, residuals, below = [state], [cell_residuals], state[0]
        if self.attention is not None:
            attention_weights = weights["attention"]
            query = self.attention.project_query(below, attention_weights)
            covered = carry.get("covered")
            weighted_sum, attention = self.attention.forward_step(
                query, bias=bias, weights=attention_weights, covered=covered, **memory
            )
            context = self.attention.project_output(weighted_sum, attention_weights)
            after = {"read": weighted_sum, "attention": attention}
            if covered is not None:
                after["covered"] = covered + attention
        for layer in range(1, len(self.cells)):
            kernel, offset = weights["upper"][layer - 1]
            inputs = concat_context(below * masks["between"][layer - 1] if "between" in masks else below, context)
            gates = ops.matmul(inputs, kernel) + offset
            state, cell_residuals = self.cells[layer].forward_step(
                gates, carry["states"][layer], recurrent[layer], recurrent_masks[layer]
            )
            states.append(state)
            residuals.append(cell_residuals)
            below = below + state[0] if self.residual else state[0]
        kernel, offset = weights["readout"]
        readout = ops.tanh(ops.matmul(concat_context(below, context), kernel) + offset)
        after["readout"] = readout * masks["readout"] if "readout" in masks else readout
        return {"states": tuple(states), "residuals": tuple(residuals), **after}

    def run(self, gates, carry, weights, memory, bias, masks):
        """All steps: gates [U, B, G * H], the carry before the first step -> readouts [U, B, R].

        Differentiable in gates, carry, weights and memory.
        """
        arguments = (gates, carry, weights, memory)
        masks_by_step = {name: masks[name] for name in ("between", "readout") if name in masks}
        constant_masks = {"recurrent": masks["recurrent"]}

        @ops.custom_gradient
        def loop(*flat):
            gates, first, weights, memory = tree.pack_sequence_as(arguments, list(flat))

            def forward(carry, step):
                after = self.forward_step(
                    step["gates"], carry, weights, memory, bias, {**constant_masks, **step["masks"]}
                )
                return after, after

            # Outputs that the next step does not read are carried too, because a scan returns what it carries.
            pairs = zip(self.cells, first["states"], strict=True)
            residuals = tuple(cell.zero_residuals(state[0]) for cell, state in pairs)
            start = {
                "residuals": residuals,
                "readout": ops.zeros_like(gates[0, :, :1] * weights["readout"][1]),
                **first,
            }
            if self.attention is not None:
                values = memory["values"]
                start |= {"read": ops.zeros_like(values[..., 0, :]), "attention": ops.zeros_like(values[..., 0])}
            _, steps = scan(forward, start, {"gates": gates, "masks": masks_by_step})

            def gradient(upstream):
                return tree.flatten(self.gradients(upstream, steps, first, weights, memory, masks))

            return steps["readout"], gradient

        return loop(*tree.flatten(arguments))

    def gradients(self, upstream, steps, first, weights, memory, masks):
        """The gradients of gates, of the first carry, of weights and of memory.

        upstream [U, B, R]: the readouts' gradient; steps: the results of `forward_step`, for all steps.
        """
        cells, attention, attention_weights = self.cells, self.attention, weights["attention"]
        recurrent_masks, between = masks["recurrent"], masks.get("between")
        before = {name: tree.map_structure(previous_states, steps[name], value) for name, value in first.items()}
        size = cells[0].units

        # Intermediate values that the forward loop did not store, recomputed for all steps at once.
        context = attention.project_output(steps["read"], attention_weights) if attention is not None else None
        outputs, inputs, local_grads = [steps["states"][0][0]], [], []
        for layer, cell in enumerate(cells):
            local_grads.append(cell.local_gradients(steps["residuals"][layer], before["states"][layer]))
            if layer:
                below = outputs[-1] * between[layer - 1] if between is not None else outputs[-1]
                inputs.append(concat_context(below, context))
                hidden = steps["states"][layer][0]
                outputs.append(hidden + outputs[-1] if self.residual else hidden)
        top, readout = concat_context(outputs[-1], context), steps["readout"]
        squares = readout * readout
        # mask * (1 - tanh ** 2), where the readout is mask * tanh and the mask is 0 or 1 / (1 - dropout).
        tanh_grad = masks["readout"] - squares * (1 - self.dropout) if "readout" in masks else 1 - squares

        transposed = tree.map_structure(ops.transpose, {
            "recurrent": [cell_weights[0] for cell_weights in weights["recurrent"]],
            "upper": [kernel for kernel, _ in weights["upper"]],
            "readout": weights["readout"][0],
            **{name: weight for name, weight in attention_weights.items() if name in ("query", "output")},
            **{name: weight for name, weight in weights.items() if name == "feedback"},
        })  # fmt: skip
        step_inputs = {"upstream": upstream, "tanh_grad": tanh_grad, "local_grads": local_grads}
        if between is not None:
            step_inputs["between"] = between
        if attention is not None:
            step_inputs["query"] = attention.project_query(outputs[0], attention_weights)
            step_inputs["attention"] = steps["attention"]
            if "covered" in before:
                step_inputs["covered"] = before["covered"]

        def backward(carry, step):
            d_readout = step["upstream"] + carry["readout"] if "feedback" in weights else step["upstream"]
            d_preactivation = d_readout * step["tanh_grad"]
            d_below, d_context = split_context(ops.matmul(d_preactivation, transposed["readout"]), size)
            after = {"preactivation": d_preactivation}
            d_after, d_states = [None] * len(cells), [None] * len(cells)

            def cell_gates(layer):
                d_hidden, *others = carry["states"][layer]
                d_state = (d_hidden + d_below, *others)
                d_states[layer], d_after[layer] = cells[layer].backward_step(
                    d_state, step["local_grads"][layer][0], transposed["recurrent"][layer], recurrent_masks[layer]
                )
                return cells[layer].gate_gradients(d_after[layer], *step["local_grads"][layer])

            for layer in range(len(cells) - 1, 0, -1):
                d_inputs = ops.matmul(cell_gates(layer), transposed["upper"][layer - 1])
                d_inputs, d_layer_context = split_context(d_inputs, size)
                d_context = d_context + d_layer_context if d_layer_context is not None else None
                if between is not None:
                    d_inputs = d_inputs * step["between"][layer - 1]
                d_below = d_inputs + d_below if self.residual else d_inputs
            if attention is not None:
                d_read = d_context
                if "output" in attention_weights:
                    d_read = attention.split_heads(ops.matmul(d_context, transposed["output"]))
                d_query, d_scores, d_covered = attention.backward_step(
                    d_read,
                    carry.get("covered"),
                    step["attention"],
                    step["query"],
                    weights=attention_weights,
                    covered=step.get("covered"),
                    **memory,
                )
                after |= {"context": d_context, "query": d_query, "scores": d_scores}
                if d_covered is not None:
                    after["covered"] = d_covered
                d_query = attention.merge_heads(d_query)
                d_below = d_below + (
                    ops.matmul(d_query, transposed["query"]) if "query" in attention_weights else d_query
                )
            d_gates = cell_gates(0)
            if "feedback" in weights:
                after["readout"] = ops.matmul(d_gates, transposed["feedback"])
            after |= {"states": tuple(d_states), "states_after": tuple(d_after)}
            return after, after

        # Zeros of the shapes of a step's result, by tensors of the same shapes.
        templates = {"preactivation": readout, "states": steps["states"], "states_after": steps["states"]}
        if "feedback" in weights:
            templates["readout"] = readout
        if attention is not None:
            templates |= {"context": context, "query": step_inputs["query"], "scores": steps["attention"]}
            if "covered" in before:
                templates["covered"] = steps["covered"]
        zeros = tree.map_structure(lambda template: ops.zeros_like(template[0]), templates)
        carry, grads = scan(backward, zeros, step_inputs, reverse=True)

        d_gates = [cell.gate_gradients(grads["states_after"][layer], *local_grads[layer])
                   for layer, cell in enumerate(cells)]  # fmt: skip
        d_weights = {
            "attention": {},
            "recurrent": tuple(
                cell.weight_gradients(*arguments)
                for cell, *arguments in zip(
                    cells, d_gates, grads["states_after"], local_grads, before["states"], recurrent_masks, strict=True
                )
            ),
            "upper": tuple(dense_gradients(*pair) for pair in zip(inputs, d_gates[1:], strict=True)),
            "readout": dense_gradients(top, grads["preactivation"]),
        }
        if "feedback" in weights:
            d_weights["feedback"] = kernel_gradient(before["readout"], d_gates[0])
        d_memory = {}
        if attention is not None:
            d_read = grads["context"]
            if "output" in attention_weights:
                d_weights["attention"]["output"] = kernel_gradient(attention.merge_heads(steps["read"]), d_read)
                d_read = attention.split_heads(ops.matmul(d_read, transposed["output"]))
            if "query" in attention_weights:
                d_weights["attention"]["query"] = kernel_gradient(outputs[0], attention.merge_heads(grads["query"]))
            d_keys, d_values, d_score_weights = attention.memory_gradients(
                d_read, grads["scores"], steps["attention"], step_inputs["query"], memory["keys"], attention_weights,
                before.get("covered"),
            )  # fmt: skip
            d_weights["attention"] |= d_score_weights
            d_memory = {"keys": d_keys, "values": d_values}
        return d_gates[0], {name: carry[name] for name in first}, d_weights, d_memory


def concat_context(below, context):
    """[..., H] and [..., C] or None -> [..., H + C]."""
    return below if context is None else ops.concatenate([below, context], axis=-1)


def split_context(inputs, size):
    """The inverse of `concat_context`: [..., H + C] -> [..., H], [..., C] or None."""
    return (inputs[..., :size], inputs[..., size:]) if inputs.shape[-1] > size else (inputs, None)


def dense_gradients(inputs, d_outputs):
    """The gradients of kernel and bias of `inputs kernel + bias`."""
    return kernel_gradient(inputs, d_outputs), ops.sum(d_outputs, axis=(0, 1))
