// A trained agent and its world, step by step, as s5lib has them: the network of s5lib/networks.py with the memories of s5lib/s5.py
// and s5lib/memory/feedforward.py, and s5lib's ProjectedCartPole. Numbers are doubles; the weights are stored in half precision.
"use strict";
const s5live = (() => {
  // ------------------------------------------------------------------------------------------------ weights
  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, rest = bits & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : 2 ** -14 * (rest / 1024));
  }

  /** Arrays by name from what .ci/live.py wrote: {layout: [[name, shape, bytes a number], ...], data: base64}. */
  function unpack({ layout, data }) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer), weights = {};
    let at = 0;
    for (const [name, shape, size] of layout) {
      const array = new Float64Array(shape.reduce((a, b) => a * b, 1));
      for (let i = 0; i < array.length; i++, at += size)
        array[i] = size === 4 ? view.getFloat32(at, true) : half(view.getUint16(at, true));
      weights[name] = array;
    }
    return weights;
  }

  // ------------------------------------------------------------------------------------------------ network
  const leaky = (x) => (x > 0 ? x : 0.01 * x);
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const gelu = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

  function dense(weights, name, x, activation = (y) => y) {
    const y = Float64Array.from(weights[name + "/bias"]), kernel = weights[name + "/kernel"], n = y.length;
    for (let i = 0; i < x.length; i++) for (let j = 0; j < n; j++) y[j] += x[i] * kernel[i * n + j];
    return y.map(activation);
  }

  function layerNorm(weights, name, x) {
    const mean = x.reduce((a, b) => a + b) / x.length;
    const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length;
    const scale = weights[name + "/scale"], bias = weights[name + "/bias"];
    return x.map((value, i) => ((value - mean) / Math.sqrt(variance + 1e-6)) * scale[i] + bias[i]);
  }

  /** S5: x' = Lambda_bar x + B_bar u and y = 2 Re(C x) + D u, a gate, and the input added back; one layer above the other. */
  class S5 {
    constructor(weights) {
      this.weights = weights;
      this.layers = [];
      for (let k = 0; weights[`memory/stack_${k}/ssm/D`]; k++) this.layers.push(this.#discretised(`memory/stack_${k}/`));
      this.clear();
    }

    #discretised(path) {
      const get = (name) => this.weights[path + "ssm/" + name];
      const re = get("Lambda_re"), im = get("Lambda_im"), P = re.length, H = get("D").length, B = get("B_tilde");
      const decay = [], driven = new Float64Array(B.length);
      for (let p = 0; p < P; p++) {
        const a = Math.min(re[p], -1e-4), b = im[p], step = Math.exp(get("log_step")[p]);
        const size = Math.exp(a * step), zr = size * Math.cos(b * step), zi = size * Math.sin(b * step);
        const gr = ((zr - 1) * a + zi * b) / (a * a + b * b), gi = (zi * a - (zr - 1) * b) / (a * a + b * b);
        decay.push([zr, zi]); // Lambda_bar, and (Lambda_bar - 1) / Lambda times B_tilde
        for (let h = 0, i = 2 * p * H; h < H; h++, i += 2) {
          driven[i] = gr * B[i] - gi * B[i + 1];
          driven[i + 1] = gr * B[i + 1] + gi * B[i];
        }
      }
      return { path, P, H, decay, B: driven, C: get("C_tilde"), D: get("D") };
    }

    clear() {
      this.states = this.layers.map(({ P }) => new Float64Array(2 * P));
    }

    step(u) {
      this.layers.forEach(({ path, P, H, decay, B, C, D }, k) => {
        const x = this.states[k], named = this.weights[path + "normalise/scale"];
        const v = named ? layerNorm(this.weights, path + "normalise", u) : u, z = new Float64Array(H);
        for (let p = 0; p < P; p++) {
          const [zr, zi] = decay[p], re = x[2 * p], im = x[2 * p + 1];
          let a = zr * re - zi * im, b = zr * im + zi * re;
          for (let h = 0, i = 2 * p * H; h < H; h++, i += 2) (a += B[i] * v[h]), (b += B[i + 1] * v[h]);
          (x[2 * p] = a), (x[2 * p + 1] = b);
        }
        for (let h = 0; h < H; h++) {
          let sum = 0;
          for (let p = 0, i = 2 * h * P; p < P; p++, i += 2) sum += C[i] * x[2 * p] - C[i + 1] * x[2 * p + 1];
          z[h] = gelu(2 * sum + D[h] * v[h]);
        }
        const gate = dense(this.weights, path + "gate", z);
        u = u.map((value, h) => value + gate[h] * sigmoid(gate[h + H]));
      });
      return u;
    }
  }

  /** No memory: x + W2 gelu(W1 norm(x)), block after block. */
  class FeedForward {
    constructor(weights) {
      this.weights = weights;
    }
    clear() {}
    step(u) {
      for (let k = 0; this.weights[`memory/block_${k}/up/bias`]; k++) {
        const path = `memory/block_${k}/`;
        const hidden = dense(this.weights, path + "up", layerNorm(this.weights, path + "norm", u), gelu);
        u = dense(this.weights, path + "down", hidden).map((value, h) => value + u[h]);
      }
      return u;
    }
  }

  /** Encoder, memory and the actor's head; what it returns is the mean of its action, or the logits. */
  class Agent {
    constructor(packed) {
      this.weights = unpack(packed);
      this.memory = this.weights["memory/stack_0/ssm/D"] ? new S5(this.weights) : new FeedForward(this.weights);
    }
    act(obs) {
      const tokens = dense(this.weights, "embed", dense(this.weights, "encoder/Dense_0", obs, leaky));
      return dense(this.weights, "policy", dense(this.weights, "actor/Dense_0", this.memory.step(tokens), leaky));
    }
  }

  // -------------------------------------------------------------------------------------------------- world
  function normal() {
    return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  }

  /** Columns of length 1 at right angles, uniformly random: rows x columns, as a list of columns. */
  function orthogonal(rows, columns) {
    const found = [];
    while (found.length < columns) {
      let v = Array.from({ length: rows }, normal);
      for (const w of found) {
        const along = v.reduce((sum, value, i) => sum + value * w[i], 0);
        v = v.map((value, i) => value - along * w[i]);
      }
      const size = Math.hypot(...v);
      if (size > 1e-3) found.push(v.map((value) => value / size));
    }
    return found;
  }

  const GRAVITY = 9.8, CART = 1, POLE = 0.1, HALF = 0.5, FORCE = 10, TAU = 0.02, LIMIT = 200;
  const X_LIMIT = 2.4, THETA_LIMIT = (12 * 2 * Math.PI) / 360, GAIN = 10;

  /** CartPole behind two random matrices: shows GAIN M_o [x, theta] in 4 numbers, and pushes to the side that argmax(M_a a) says. */
  class World {
    constructor() {
      this.renew();
      this.begin();
      this.obs = [...this.seen(), 0, 0, 0, 0, 1];
    }
    renew() {
      const columns = orthogonal(4, 2).map((c) => c.map((value) => value * GAIN * Math.SQRT2));
      this.M_o = [0, 1, 2, 3].map((i) => columns.map((c) => c[i]));
      const turn = orthogonal(2, 2);
      this.M_a = [0, 1].map((i) => turn.map((c) => c[i]));
    }
    begin() {
      this.physics = [0, 0, 0, 0].map(() => 0.1 * Math.random() - 0.05);
      this.time = 0;
    }
    seen() {
      return this.M_o.map(([a, b]) => a * this.physics[0] + b * this.physics[2]);
    }
    /** One step of 20 ms; the observation holds the last action, its reward and whether a new trial begins. */
    step(action) {
      let [x, v, theta, omega] = this.physics;
      const [left, right] = this.M_a.map((row) => row[0] * action[0] + row[1] * action[1]);
      this.push = right > left ? 1 : -1;
      const cos = Math.cos(theta), sin = Math.sin(theta);
      const push = (this.push * FORCE + POLE * HALF * omega ** 2 * sin) / (CART + POLE);
      const turning = (GRAVITY * sin - cos * push) / (HALF * (4 / 3 - (POLE * cos ** 2) / (CART + POLE)));
      const moving = push - (POLE * HALF * turning * cos) / (CART + POLE);
      this.physics = [x + TAU * v, v + TAU * moving, theta + TAU * omega, omega + TAU * turning];
      this.time += 1;
      const fell = Math.abs(this.physics[0]) > X_LIMIT || Math.abs(this.physics[2]) > THETA_LIMIT;
      const ended = fell || this.time >= LIMIT, length = this.time;
      if (ended) this.begin();
      const told = action.map((value) => Math.max(-10, Math.min(10, value)));
      this.obs = [...this.seen(), ...told, 1 / LIMIT, ended ? 1 : 0, 0];
      return { fell, ended, length };
    }
  }

  return { Agent, World, normal, weights: {} };
})();
