// Charts: lines over layers or positions by uPlot, and marks that are links.
"use strict";

// Lines differ by dashes too, so that nothing rests on colour.
const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4], [12, 4], [4, 2, 1, 2]];

const charts = {
  drawn: new Set(),

  colour: (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim(),

  // A figure of lines, and the same numbers as a table. `series`: name and values of each, as long as `x`; `names`
  // say what each x is, where that is more than a number.
  lines(caption, { x, xLabel, yLabel, series, percent = false, height = 220, names = x.map(String) }) {
    const place = dom.make("div", { class: "chart", "aria-hidden": "true" });
    const show = percent ? numbers.percent : numbers.whole;
    const under = series.map(() => dom.make("span"));
    const key = series.map((each, i) => dom.make("li", {}, charts.sample(i), ` ${each.name} `, under[i]));
    const rows = x.map((_, i) => [
      names[i],
      ...series.map((each) => dom.number(each.values[i] ?? NaN, show(each.values[i] ?? NaN))),
    ]);
    // What the pointer is over, as the table has it.
    const point = ({ cursor: { idx } }) =>
      under.forEach((span, i) => {
        span.textContent =
          idx === null || idx === undefined ? "" : `${show(series[i].values[idx] ?? NaN)} at ${names[idx]}`;
      });
    const make = () => {
      place.replaceChildren();
      const options = charts.options({
        x,
        xLabel,
        yLabel,
        series,
        percent,
        height,
        width: place.clientWidth,
      });
      const data = series.map((each) =>
        Array.from(each.values, (value) => (Number.isFinite(value) ? value : null)),
      );
      return new uPlot({ ...options, hooks: { setCursor: [point] } }, [x, ...data], place);
    };
    charts.drawn.add({ place, make, plot: null, width: 0 });
    return dom.make(
      "figure",
      {},
      dom.make("figcaption", {}, caption),
      place,
      dom.make("ul", { class: "key", "aria-hidden": "true" }, key),
      dom.make(
        "details",
        {},
        dom.make("summary", {}, "The same as a table"),
        dom.table(caption, [xLabel, ...series.map((each) => each.name)], rows, { class: "numeric" }),
      ),
    );
  },

  // A piece of a line, as the series of that number is drawn.
  sample: (i) =>
    dom.make(
      "svg",
      { width: 36, height: 10, "aria-hidden": "true" },
      dom.make("line", {
        x1: 1,
        x2: 35,
        y1: 5,
        y2: 5,
        "stroke-width": 2,
        "stroke-dasharray": DASHES[i % DASHES.length].join(" "),
        style: `stroke: var(--series-${i % 6})`,
      }),
    ),

  options({ x, xLabel, yLabel, series, percent, height, width }) {
    const [ink, grid] = [charts.colour("--ink"), charts.colour("--line")];
    const axis = {
      stroke: ink,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1 },
      font: "12px sans-serif",
    };
    const format = (plot, values) =>
      values.map((value) => (percent ? `${+(100 * value).toPrecision(4)} %` : String(value)));
    return {
      width,
      height,
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: {
        x: { time: false, range: x.length > 1 ? undefined : [x[0] - 1, x[0] + 1] },
        y: { range: (plot, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.05] },
      },
      axes: [
        { ...axis, label: xLabel, labelSize: 20, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
        { ...axis, label: yLabel, labelSize: 20, size: 64, values: format },
      ],
      series: [
        { label: xLabel },
        ...series.map((each, i) => ({
          label: each.name,
          stroke: charts.colour(`--series-${i % 6}`),
          width: 2,
          dash: DASHES[i % DASHES.length],
          points: { show: x.length < 25 },
        })),
      ],
    };
  },

  // Draws what was made since the last page, and draws again what has another width or other colours.
  refresh(all = false) {
    for (const chart of charts.drawn) {
      if (!chart.place.isConnected) {
        chart.plot?.destroy();
        charts.drawn.delete(chart);
      } else if (all || chart.width !== chart.place.clientWidth) {
        chart.plot?.destroy();
        chart.width = chart.place.clientWidth;
        chart.plot = chart.make();
      }
    }
  },

  // Marks at layers and heights, each a link. `marks`: layer, value, shape, href and name of each.
  marks(caption, { layers, yLabel, marks, shapes }) {
    const area = { width: 640, height: 260, left: 56, right: 10, top: 10, bottom: 40 };
    area.highest = Math.max(...marks.map((mark) => mark.value)) * 1.05 || 1;
    const [first, last] = [Math.min(...layers) - 0.5, Math.max(...layers) + 0.5];
    const wide = area.width - area.left - area.right;
    area.x = (layer) => area.left + ((layer - first) / (last - first)) * wide;
    area.y = (value) => area.top + (1 - value / area.highest) * (area.height - area.top - area.bottom);
    const viewBox = `0 0 ${area.width} ${area.height}`;
    const drawn = [charts.axes(area, layers, yLabel), charts.links(area, marks)];
    return dom.make(
      "figure",
      {},
      dom.make("figcaption", {}, caption),
      dom.make(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
        dom.make("svg", { class: "marks", viewBox }, drawn),
      ),
      dom.make(
        "ul",
        { class: "key" },
        shapes.map((name, i) => dom.make("li", {}, charts.sampleMark(i), ` ${name}`)),
      ),
    );
  },

  sampleMark: (i) =>
    dom.make(
      "svg",
      { width: 14, height: 14, "aria-hidden": "true" },
      dom.make("path", { class: `mark mark-${i}`, d: charts.shape(i, 7, 7) }),
    ),

  axes({ width, height, left, right, bottom, highest, x, y }, layers, yLabel) {
    const text = (content, attributes) => dom.make("text", { class: "axis", ...attributes }, content);
    const step = Math.ceil(layers.length / 12);
    const middle = (height - bottom) / 2;
    const values = [0, 0.25, 0.5, 0.75, 1].map((part) => part * highest);
    return [
      ...layers
        .filter((_, i) => i % step === 0)
        .map((layer) =>
          text(String(layer), { x: x(layer), y: height - bottom + 16, "text-anchor": "middle" }),
        ),
      text("layer", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }),
      ...values.map((value) => [
        dom.make("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
        text(value.toPrecision(2), { x: left - 6, y: y(value) + 4, "text-anchor": "end" }),
      ]),
      text(yLabel, { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }),
    ];
  },

  // Marks of one layer stand side by side, so that they do not hide each other.
  links({ x, y }, marks) {
    const seen = new Map();
    return marks.map((mark) => {
      const number = seen.get(mark.layer) ?? 0;
      seen.set(mark.layer, number + 1);
      const shift = (((number * 0.618) % 1) - 0.5) * 0.8;
      const d = charts.shape(mark.shape, x(mark.layer + shift), y(mark.value));
      return dom.make(
        "a",
        { svg: true, href: mark.href, tabindex: "-1", "aria-label": mark.name },
        dom.make("path", { class: `mark mark-${mark.shape}`, d }, dom.make("title", {}, mark.name)),
      );
    });
  },

  // A circle, a square, a triangle or a diamond around a point.
  shape(number, x, y, r = 4.5) {
    return [
      `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
      `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
      `M${x},${y - r}L${x + r},${y + r}H${x - r}z`,
      `M${x},${y - r}L${x + r},${y}L${x},${y + r}L${x - r},${y}z`,
    ][number % 4];
  },
};
