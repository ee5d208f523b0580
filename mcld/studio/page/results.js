// Pictures that were made: shown newest first, downloaded, compared side by side.

import * as api from "./api.js";
import { copyOf, element, find } from "./elements.js";

const SHOWN = {
  seed: "seed",
  num_steps: "steps",
  guidance_scale: "guidance",
  scheduler: "solver",
  background: "background",
};

export class Results {
  constructor() {
    this.made = new Map(); // by render id: {render, request, card}
    this.compare = find("#compare");
    this.compare.addEventListener("click", () => this.showComparison());
    find("#comparison .close").addEventListener("click", () => find("#comparison").close());
  }

  add(render, { request, title, changes }) {
    const card = copyOf("result-template");
    const image = find("img", card);
    image.src = render.picture;
    image.alt = `${title}, seed ${request.settings.seed}`;
    find(".title", card).textContent = `Seed ${request.settings.seed}`;
    find(".about", card).textContent = [title, ...changes].join(" · ");
    this.link(find(".download-picture", card), render.picture, `mcld-${request.settings.seed}-${render.id.slice(0, 6)}.png`);
    this.link(find(".download-recipe", card), render.recipe, `mcld-${request.settings.seed}-${render.id.slice(0, 6)}.json`);
    this.offerMaps(card, render);
    find(".pick", card).addEventListener("change", () => this.pickChanged());
    find(".forget", card).addEventListener("click", () => this.forget(render.id));
    this.made.set(render.id, { render, request, title, changes, card });
    find("#results").prepend(card);
    find("#results-section").hidden = false;
    card.scrollIntoView({ block: "nearest" });
  }

  link(anchor, address, name) {
    anchor.href = address;
    anchor.download = name;
  }

  offerMaps(card, render) {
    if (!render.attention) return;
    const button = find(".maps", card);
    const image = find("img", card);
    button.hidden = false;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", String(on));
      image.src = on ? render.attention : render.picture;
    });
  }

  async forget(id) {
    this.made.get(id).card.remove();
    this.made.delete(id);
    find("#results-section").hidden = this.made.size === 0;
    this.pickChanged();
    try {
      await api.forget(id);
    } catch {
      // it expires by itself
    }
  }

  picked() {
    return [...this.made.values()].filter(({ card }) => find(".pick", card).checked);
  }

  pickChanged() {
    const count = this.picked().length;
    this.compare.disabled = count < 2;
    this.compare.textContent = count < 2 ? "Compare" : `Compare ${count}`;
  }

  showComparison() {
    const picked = this.picked();
    const values = picked.map(({ request, title, changes }) => ({
      ...Object.fromEntries(Object.entries(SHOWN).map(([name, label]) => [label, String(request.settings[name])])),
      pair: title,
      changes: changes.join(", ") || "none",
    }));
    const differs = (label) => new Set(values.map((value) => value[label])).size > 1;
    const columns = picked.map(({ render }, index) => {
      const rows = Object.entries(values[index]).map(([label, value]) =>
        element("tr", differs(label) ? { class: "differs" } : {}, element("td", { text: label }), element("td", { text: value })),
      );
      const image = element("img", { src: render.picture, alt: `Picture ${index + 1}, seed ${values[index].seed}` });
      return element("div", {}, image, element("table", {}, element("tbody", {}, ...rows)));
    });
    find("#comparison .columns").replaceChildren(...columns);
    find("#comparison").showModal();
  }
}
