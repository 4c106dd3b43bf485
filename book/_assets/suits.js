// Repeat Previous Easy, played by the reader beside a trained agent: which suit was shown three cards ago?
// Needs agent.js, paper.js and suits-weights.js.
"use strict";
(() => {
  const SUITS = ["♠", "♦", "♣", "♥"], NAMES = ["spades", "diamonds", "clubs", "hearts"], K = 4; // as s5lib numbers them

  function shuffled() {
    const cards = Array.from({ length: 52 }, (_, i) => i % 4);
    for (let i = 51; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [cards[i], cards[j]] = [cards[j], cards[i]];
    }
    return cards;
  }

  const oneHot = (k) => [0, 1, 2, 3].map((i) => (i === k ? 1 : 0));
  const likeliest = (logits) => logits.indexOf(Math.max(...logits));

  /** What the agent sees: the card in view, its own last answer, and whether the game begins. */
  const observed = (cards, t, last) => [...oneHot(cards[t]), ...(t ? oneHot(last) : [0, 0, 0, 0]), t ? 0 : 1];

  function start(figure) {
    const agent = new s5live.Agent(s5live.weights.suits), find = (name) => figure.querySelector(`[data-shows=${name}]`);
    const buttons = [...figure.querySelectorAll("[data-suit]")];
    let cards, t, last, score, open;

    function deal() {
      cards = shuffled();
      agent.memory.clear();
      [t, last, open] = [0, 0, false];
      score = { you: 0, agent: 0, asked: 0 };
      for (const name of ["yours", "agents"]) find(name).textContent = "";
      show("A new deck. Three cards go by before the first question.");
    }

    function show(words) {
      const asked = t >= K - 1;
      find("card").textContent = SUITS[cards[t]];
      find("card").setAttribute("aria-label", NAMES[cards[t]]);
      find("row").textContent = open ? cards.slice(Math.max(0, t - K + 1), t + 1).map((suit) => SUITS[suit]).join(" ") : "";
      find("question").textContent = asked ? "Which suit was it three cards ago?" : `Card ${t + 1}. Remember it, and press any suit.`;
      find("said").textContent = words;
      find("score").textContent = score.asked ? `Right of ${score.asked}: you ${score.you}, S5 ${score.agent}.` : "";
      draw();
    }

    function draw() {
      const states = agent.memory.states, top = states.map((state) => Math.max(0.1, ...state.map(Math.abs)));
      s5paper.drawState(find("state"), states, (k) => top[k]);
    }

    function answer(suit) {
      const said = likeliest(Array.from(agent.act(observed(cards, t, last)))), asked = t >= K - 1;
      last = said;
      let words = "";
      if (asked) {
        const right = cards[t - K + 1];
        score.asked += 1;
        score.you += suit === right;
        score.agent += said === right;
        find("yours").textContent += suit === right ? "●" : "○";
        find("agents").textContent += said === right ? "●" : "○";
        words = `It was ${NAMES[right]}. You said ${NAMES[suit]}, S5 ${NAMES[said]}.`;
      }
      t += 1;
      if (t === cards.length - 1) {
        show(`${words} That was the deck.`);
        buttons.forEach((button) => (button.disabled = true));
      } else show(words);
    }

    buttons.forEach((button) => button.addEventListener("click", () => answer(Number(button.dataset.suit))));
    const on = (name, deed) => figure.querySelector(`[data-do=${name}]`).addEventListener("click", deed);
    on("forget", () => {
      agent.memory.clear();
      show("S5's memory is empty. It will not know the next three; then it will.");
    });
    on("table", () => {
      open = !open;
      show(find("said").textContent);
    });
    on("deal", () => {
      buttons.forEach((button) => (button.disabled = false));
      deal();
    });
    figure.dataset.ready = ""; // a canvas has a size from here on
    deal();
    figure.s5live = { agent, cards: () => cards };
    new ResizeObserver(draw).observe(find("state"));
  }

  document.querySelectorAll("figure.s5lib-suits").forEach(start);
})();
