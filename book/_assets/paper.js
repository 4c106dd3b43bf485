// What the figures that live in a page draw with: a canvas in CSS pixels, a line, and a memory's state as coloured cells.
"use strict";
const s5paper = (() => {
  const BLUE = "#0072B2", ORANGE = "#D95F02";

  /** A canvas cleared and scaled to the screen's pixels; returns its context, and its width and height in CSS pixels. */
  function paper(canvas) {
    const { width, height } = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) (canvas.width = w), (canvas.height = h);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = pen.strokeStyle = getComputedStyle(canvas).color;
    pen.font = "12px system-ui, sans-serif";
    return [pen, width, height];
  }

  function line(pen, points, color, width) {
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.beginPath();
    points.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.stroke();
  }

  /** A row a layer: the real part of each complex state, in shares of ``scale(layer, state)``, blue above zero and orange below. */
  function drawState(canvas, states, scale) {
    const [pen, w, h] = paper(canvas);
    states.forEach((state, k) => {
      const P = state.length / 2, [wide, tall] = [w / P, h / states.length];
      for (let p = 0; p < P; p++) {
        const value = state[2 * p] / scale(k, p);
        pen.globalAlpha = Math.min(1, Math.abs(value));
        pen.fillStyle = value > 0 ? BLUE : ORANGE;
        pen.fillRect(p * wide + 0.5, k * tall + 0.5, wide - 1, tall - 1);
      }
    });
    pen.globalAlpha = 1;
  }

  return { BLUE, ORANGE, paper, line, drawState };
})();
