// The landing page's figure: two trained agents behind one hidden projection, S5 and a network without memory, at 50 steps a second.
// Needs agent.js, paper.js and weights.js, which .ci/live.py writes from the stored runs.
"use strict";
(() => {
  const TRIALS = 24, SEEN = 150, KICK = 0.5; // bars shown; steps of observations shown; rad/s
  const LEAN = 3; // a pole is out at twelve degrees: its lean is drawn three times as large
  const { BLUE, ORANGE, paper, line, drawState } = s5paper, LINES = [BLUE, "#56B4E9", "#009E73", "#A06CC4"];

  /** One agent in its own copy of the world, and what has become of it. */
  class Player {
    constructor(panel, weights, world) {
      this.panel = panel;
      this.agent = new s5live.Agent(weights);
      this.world = world;
      this.std = this.agent.weights["log_std"].map(Math.exp);
      this.seen = [];
      this.trials = []; // {length, fell}, or {mark} where the world changed
      this.shock = 0; // steps since the last fall, for its mark
      this.scale = this.agent.memory.states?.map((state) => new Float64Array(state.length / 2).fill(0.05));
      this.newWorld();
    }
    newWorld() {
      this.steps = 0;
      this.falls = 0;
      this.standing = 0;
      this.found = null; // steps in this world until the last fall before it stood for 200
      this.trials.push({ mark: true });
    }
    step() {
      const mean = this.agent.act(this.world.obs);
      const action = Array.from(mean, (value, i) => value + this.std[i] * s5live.normal());
      const { fell, ended, length } = this.world.step(action);
      this.steps += 1;
      this.standing = fell ? 0 : this.standing + 1;
      this.shock += 1;
      if (ended) this.trials.push({ length, fell });
      if (this.found === null && Math.min(this.standing, this.steps) === 200) this.found = this.steps - 200;
      if (fell) (this.falls += 1), (this.shock = 0);
      this.trials.splice(0, this.trials.length - TRIALS);
      this.seen.push(this.world.obs.slice(0, 4));
      this.seen.splice(0, this.seen.length - SEEN);
      this.agent.memory.states?.forEach((state, k) => {
        for (let p = 0; p < state.length / 2; p++)
          this.scale[k][p] = Math.max(0.998 * this.scale[k][p], Math.abs(state[2 * p]), 0.01);
      });
    }
    said() {
      const falls = this.falls === 1 ? "1 fall" : `${this.falls} falls`;
      const found = this.found === null ? "" : ` Found out ${this.found ? `after ${this.found}` : "at once"}.`;
      return `${falls} in ${this.steps} steps of this world.${found}`;
    }
  }

  // ------------------------------------------------------------------------------------------------ pictures
  function drawCart(canvas, player) {
    const [pen, w, h] = paper(canvas), ink = pen.strokeStyle;
    const [x, , theta] = player.world.physics, unit = w / 5.2, floor = h - 22, at = w / 2 + x * unit;
    const size = Math.min(h - 60, w * 0.4), tip = (lean) => [at + size * Math.sin(lean), floor - 18 - size * Math.cos(lean)];
    pen.lineCap = "round";
    pen.globalAlpha = 0.25;
    line(pen, [[w / 2 - 2.4 * unit, floor], [w / 2 + 2.4 * unit, floor]], ink, 2);
    for (const side of [-1, 1]) line(pen, [[at, floor - 18], tip((side * LEAN * Math.PI) / 15)], ink, 1);
    pen.globalAlpha = 1;
    const push = player.world.push || 0;
    if (push) {
      line(pen, [[at + push * 26, floor - 9], [at + push * 42, floor - 9]], ORANGE, 3);
      line(pen, [[at + push * 37, floor - 14], [at + push * 42, floor - 9], [at + push * 37, floor - 4]], ORANGE, 3);
    }
    pen.fillStyle = player.shock < 12 ? ORANGE : ink;
    pen.fillRect(at - 22, floor - 18, 44, 18);
    line(pen, [[at, floor - 18], tip(LEAN * theta)], player.panel.dataset.color, 7);
    pen.fillStyle = player.shock < 25 ? ORANGE : ink;
    pen.textAlign = "center";
    pen.fillText(player.shock < 25 && player.falls ? "fell" : `standing ${(player.standing / 50).toFixed(1)} s`, w / 2, h - 5);
  }

  function drawSeen(canvas, player) {
    const [pen, w, h] = paper(canvas), top = Math.max(2, ...player.seen.flat().map(Math.abs));
    for (let i = 0; i < 4; i++)
      line(pen, player.seen.map((obs, t) => [((SEEN - player.seen.length + t) / SEEN) * w, h / 2 - (obs[i] / top) * (h / 2 - 3)]), LINES[i], 1.6);
  }

  function drawTrials(canvas, player) {
    const [pen, w, h] = paper(canvas), ink = pen.strokeStyle, wide = w / TRIALS, under = h - 2;
    pen.globalAlpha = 0.3;
    line(pen, [[0, under], [w, under]], ink, 1);
    line(pen, [[0, 4], [w, 4]], ink, 1);
    pen.globalAlpha = 1;
    player.trials.forEach(({ length, fell, mark }, k) => {
      const left = (TRIALS - player.trials.length + k) * wide;
      if (mark) {
        pen.setLineDash([3, 3]);
        line(pen, [[left + wide / 2, 2], [left + wide / 2, under]], ink, 1.5);
        pen.setLineDash([]);
      } else {
        const tall = Math.max(2, (length / 200) * (under - 4));
        pen.fillStyle = fell ? ORANGE : player.panel.dataset.color;
        pen.fillRect(left + 1, under - tall, wide - 2, tall);
      }
    });
  }

  // -------------------------------------------------------------------------------------------------- figure
  function start(figure) {
    const button = (name) => figure.querySelector(`[data-do=${name}]`);
    const said = figure.querySelector("[role=status]");
    const players = [...figure.querySelectorAll("[data-agent]")].map((panel) => {
      return new Player(panel, s5live.weights[panel.dataset.agent], new s5live.World());
    });
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    let playing = !still, visible = false, speed = 1, last = null, owed = 0;

    function sameWorld() {
      players[0].world.renew();
      for (const { world } of players) ({ M_o: world.M_o, M_a: world.M_a } = players[0].world);
    }

    function draw() {
      for (const player of players) {
        const find = (name) => player.panel.querySelector(`canvas[data-shows=${name}]`);
        drawCart(find("cart"), player);
        drawSeen(find("seen"), player);
        drawTrials(find("trials"), player);
        if (find("state")) drawState(find("state"), player.agent.memory.states, (k, p) => player.scale[k][p]);
        player.panel.querySelector(".tally").textContent = player.said();
      }
      figure.dataset.steps = players[0].steps;
    }

    function frame(now) {
      if (!playing || !visible) return (last = null);
      owed = Math.min(owed + (last === null ? 0 : (now - last) / 20) * speed, 5 * speed);
      last = now;
      for (; owed >= 1; owed--) players.forEach((player) => player.step());
      draw();
      requestAnimationFrame(frame);
    }

    function go() {
      button("play").textContent = playing ? "Pause" : "Play";
      if (playing && visible && last === null) requestAnimationFrame(frame);
      else if (!playing) draw();
    }

    const deeds = {
      kick() {
        const side = Math.random() < 0.5 ? -1 : 1;
        for (const { world } of players) world.physics[3] += side * KICK;
        said.textContent = `Both poles were kicked to the ${side < 0 ? "left" : "right"}.`;
      },
      world() {
        sameWorld();
        players.forEach((player) => player.newWorld());
        said.textContent = "A new world: what is seen and what the agent's numbers do are mixed anew. Nobody told the agents.";
      },
      forget() {
        players.forEach((player) => player.agent.memory.clear());
        said.textContent = "The memory is empty.";
      },
      play() {
        playing = !playing;
      },
      speed() {
        speed = speed === 1 ? 4 : 1;
        button("speed").textContent = speed === 1 ? "4 times as fast" : "As slow as it is";
      },
    };
    for (const [name, deed] of Object.entries(deeds)) button(name).addEventListener("click", () => (deed(), go()));

    sameWorld();
    for (let t = 0; t < 250; t++) players.forEach((player) => player.step()); // five seconds, so that no panel is empty
    figure.dataset.ready = "";
    figure.s5live = players;
    new IntersectionObserver(([entry]) => {
      visible = entry.isIntersecting;
      go();
    }).observe(figure);
    window.addEventListener("resize", () => playing || draw());
    draw();
  }

  document.querySelectorAll("figure.s5lib-live").forEach(start);
})();
