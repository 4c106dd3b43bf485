// The best polynomial of a signal's past, redrawn as the present is dragged along: HiPPO-LegS as s5lib's legs_online has it.
// Needs paper.js, and hippo-signal.js after it.
"use strict";
const s5hippo = (() => {
  /** Integrals of the first N Legendre polynomials, scaled to size one, from the start of [0, 1] to z. */
  function areas(z, N) {
    const x = 2 * z - 1, P = [1, x];
    for (let n = 1; n <= N; n++) P.push(((2 * n + 1) * x * P[n] - n * P[n - 1]) / (n + 1));
    const area = [(x + 1) / 2];
    for (let n = 1; n < N; n++) area.push((Math.sqrt(2 * n + 1) * (P[n + 1] - P[n - 1])) / (2 * (2 * n + 1)));
    return area;
  }

  /** The memory at time t, a number of steps with a fraction, of samples that are held for a step each. */
  function remember(signal, t, N) {
    const x = new Float64Array(N), last = Math.min(signal.length, Math.ceil(t));
    let before = areas(0, N);
    for (let s = 0; s < last; s++) {
      const after = areas(Math.min(1, (s + 1) / t), N);
      for (let n = 0; n < N; n++) x[n] += signal[s] * (after[n] - before[n]);
      before = after;
    }
    return x;
  }

  /** The curve that a memory stands for, at a place z of the past. */
  function recall(x, z) {
    const y = 2 * z - 1;
    let [before, now, sum] = [0, 1, 0];
    for (let n = 0; n < x.length; n++) {
      sum += x[n] * Math.sqrt(2 * n + 1) * now;
      [before, now] = [now, ((2 * n + 1) * y * now - n * before) / (n + 1)];
    }
    return sum;
  }

  function start(figure) {
    const signal = s5hippo.signal, T = signal.length, canvas = figure.querySelector("canvas");
    const [numbers, time] = ["numbers", "time"].map((name) => figure.querySelector(`input[name=${name}]`));
    const said = figure.querySelector("[data-shows=said]");

    function draw() {
      const N = Number(numbers.value), t = Number(time.value), x = remember(signal, t, N);
      const [pen, width, height] = s5paper.paper(canvas), ink = pen.strokeStyle;
      const floor = height - 46, at = (s) => (s / T) * width, up = (u) => floor / 2 - (u / 3.6) * (floor / 2);
      function curve(from, to, value, color, wide, alpha) {
        const points = [];
        for (let s = from; s <= to; s += Math.max(0.25, (to - from) / 600)) points.push([at(s), up(value(s))]);
        pen.globalAlpha = alpha;
        s5paper.line(pen, points, color, wide);
        pen.globalAlpha = 1;
      }
      const held = (s) => signal[Math.min(T - 1, Math.floor(s))];
      curve(t, T, held, ink, 1, 0.25);
      curve(0, t, held, ink, 1.2, 0.7);
      curve(0, t, (s) => recall(x, s / t), s5paper.BLUE, 2.5, 1);
      pen.setLineDash([4, 3]);
      s5paper.line(pen, [[at(t), 0], [at(t), floor]], ink, 1.5);
      pen.setLineDash([]);
      pen.textAlign = t > T * 0.85 ? "right" : "left";
      pen.fillText("now", at(t) + (t > T * 0.85 ? -5 : 5), 12);
      const wide = Math.min(24, width / N);
      pen.fillStyle = s5paper.BLUE;
      for (let n = 0; n < N; n++) {
        const tall = Math.max(-1, Math.min(1, x[n] / 1.5)) * 20;
        pen.fillRect(n * wide + 1, height - 22 - Math.max(0, tall), wide - 2, Math.max(1, Math.abs(tall)));
      }
      let wrong = 0;
      for (let s = 0; s < Math.floor(t); s++) wrong += (signal[s] - recall(x, (s + 0.5) / t)) ** 2;
      said.textContent = `${N} numbers, step ${Math.floor(t)}: typical error ${Math.sqrt(wrong / Math.max(1, Math.floor(t))).toFixed(2)}`;
      for (const input of [numbers, time]) input.parentElement.querySelector("output").textContent = Math.floor(input.value);
    }

    const drag = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const box = canvas.getBoundingClientRect();
      time.value = Math.max(2, ((event.clientX - box.left) / box.width) * T);
      draw();
    };
    for (const name of ["pointerdown", "pointermove"]) canvas.addEventListener(name, drag);
    for (const input of [numbers, time]) input.addEventListener("input", draw);
    new ResizeObserver(draw).observe(canvas);
    figure.dataset.ready = "";
  }

  return { remember, recall, start };
})();
