"""The loss curve: all lines are there, told apart, and labels do not cover one another."""

from jaxneurons.figures import style, training


def a_run(offset):
    losses = [{"step": 0, "validation_loss": 5.0 + offset}]
    for step in range(10, 110, 10):
        line = {"step": step, "loss": 5.0 - step / 50 + offset}
        if step % 50 == 0:
            line["validation_loss"] = line["loss"] + 0.1
        losses.append(line)
    return {"losses": losses, "baselines": {"unigram": 4.5, "bigram": 3.6}}


def test_loss_curves_of_several_runs():
    runs = {"base": a_run(0), "no_positions": a_run(0.2)}
    canvas = training.loss_curves(runs)
    (axis,) = canvas.axes
    batches = [line for line in axis.lines if len(line.get_xdata()) == 10]
    held_out = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert len(batches) == len(held_out) == 2
    assert len({line.get_color() for line in held_out}) == 2
    assert len({line.get_marker() for line in held_out}) == 2
    labels = {text.get_text() for text in canvas.legends[0].get_texts()}
    assert labels == {*(f"{name}, held out" for name in runs), "thin: training batches"}
    assert {text.get_text() for text in axis.texts} == {"unigram 4.50", "bigram 3.60"}
    assert style.render(canvas, "png").startswith(b"\x89PNG")
