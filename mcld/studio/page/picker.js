// Choose a person of a photograph: drop one, or take an example; then see what was found of them.

import * as api from "./api.js";
import { acceptFiles, copyOf, element, find, show } from "./elements.js";

const VIEWS = {
  photo: "Photograph",
  overlay: "Pose on it",
  iuv: "Pose",
  texture: "Texture",
  face: "Face",
};

export class Picker {
  // `views`: which of VIEWS are offered; the first is shown. `changed(choice)` is called with {photo, person} or null.
  constructor(parent, { label, examples, views, maxBytes, changed }) {
    this.root = copyOf("picker-template");
    this.label = label;
    this.views = views;
    this.maxBytes = maxBytes;
    this.changed = changed;
    this.choice = null;
    this.drop = find(".drop", this.root);
    this.drop.setAttribute("aria-label", `${label}: drop or choose a photograph`);
    acceptFiles(this.drop, (file) => this.take(file));
    find(".another", this.root).addEventListener("click", () => this.clear());
    this.showExamples(examples);
    parent.append(this.root);
  }

  showExamples(examples) {
    const buttons = examples.map((example) => {
      const image = element("img", { src: api.view({ photo: example.photo, person: 1 }, "photo"), alt: "", loading: "lazy" });
      const button = element("button", { type: "button", "aria-label": `Example ${example.name}` }, image);
      button.addEventListener("click", () => this.read(() => api.photo(example.photo)));
      return button;
    });
    find(".examples", this.root).replaceChildren(...buttons);
  }

  async take(file) {
    if (file.size > this.maxBytes) {
      const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(1);
      this.complain(`${file.name} has ${megabytes(file.size)} MB, but at most ${megabytes(this.maxBytes)} are taken; make it smaller`);
      return;
    }
    await this.read(() => api.upload(file));
  }

  async read(ask) {
    this.complain(null);
    this.busy(true);
    try {
      this.found(await ask());
    } catch (error) {
      this.complain(error.message);
    } finally {
      this.busy(false);
    }
  }

  found(photo) {
    this.photo = photo;
    find(".drop", this.root).hidden = true;
    find(".examples", this.root).hidden = true;
    find(".found", this.root).hidden = false;
    find(".notes", this.root).replaceChildren(...photo.notes.map((note) => element("li", { text: note })));
    this.showPeople();
    this.choose(photo.usual);
  }

  showPeople() {
    const row = find(".people", this.root);
    row.hidden = this.photo.people.length < 2;
    const buttons = this.photo.people.map(({ number }) => {
      const button = element("button", { type: "button", text: `Person ${number}`, "data-number": number });
      button.addEventListener("click", () => this.choose(number));
      return button;
    });
    row.replaceChildren(...buttons);
  }

  choose(number) {
    this.choice = { photo: this.photo.id, person: number };
    for (const button of find(".people", this.root).children) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.number) === number));
    }
    const buttons = this.views.map((name) => {
      const button = element("button", { type: "button", text: VIEWS[name], "data-view": name });
      button.addEventListener("click", () => this.look(name));
      return button;
    });
    find(".views", this.root).replaceChildren(...buttons);
    this.look(this.views[0]);
    this.changed(this.choice);
  }

  look(name) {
    const image = find(".large", this.root);
    const button = find(`[data-view=${name}]`, this.root);
    image.onerror = () => {
      button.disabled = true;
      button.title = "There is none in this photograph";
      if (name !== this.views[0]) this.look(this.views[0]);
    };
    image.src = api.view(this.choice, name);
    image.alt = `${this.label}: ${VIEWS[name]} of ${this.photo.name}`;
    for (const other of find(".views", this.root).children) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  }

  clear() {
    this.choice = null;
    find(".drop", this.root).hidden = false;
    find(".examples", this.root).hidden = false;
    find(".found", this.root).hidden = true;
    this.complain(null);
    this.changed(null);
  }

  complain(sentence) {
    show(find(".error", this.root), sentence);
  }

  busy(is) {
    this.drop.classList.toggle("busy", is);
    this.drop.setAttribute("aria-busy", String(is));
    find("strong", this.drop).textContent = is ? "Looking for people …" : "Drop a photograph";
  }
}
