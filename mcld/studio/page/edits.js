// The list of changes. Each is a card with fields; its value is what the service calls an edit.

import * as api from "./api.js";
import { acceptFiles, copyOf, element, find, show } from "./elements.js";
import { Picker } from "./picker.js";

const TITLES = {
  clothes: "Clothes of …",
  identity: "Identity of …",
  recolour: "Recolour",
  print: "Print a picture",
  blend: "Blend with …",
};
const GARMENTS = { upper: "upper body", torso: "upper body without arms", lower: "legs", whole: "everything" };

export class Edits {
  // `changed()` is called whenever `values()` may be others than before.
  constructor({ examples, regions, maxBytes, changed }) {
    this.examples = examples;
    this.regions = regions;
    this.maxBytes = maxBytes;
    this.changed = changed;
    this.cards = [];
    for (const button of find("#add-edits").children) {
      button.addEventListener("click", () => this.add(button.dataset.kind));
    }
  }

  values() {
    return this.cards.map((card) => card.value()).filter((value) => value !== null);
  }

  sentences() {
    return this.cards.filter((card) => card.value() !== null).map((card) => card.sentence());
  }

  add(kind) {
    const root = copyOf("edit-template");
    find("strong", root).textContent = TITLES[kind];
    const card = { root, ...this[kind](find(".fields", root)) };
    find(".remove", root).addEventListener("click", () => {
      root.remove();
      this.cards = this.cards.filter((other) => other !== card);
      this.changed();
    });
    this.cards.push(card);
    find("#edits").append(root);
    root.scrollIntoView({ block: "nearest" });
    this.changed();
  }

  clothes(fields) {
    const donor = this.donor(fields, "Whose clothes");
    const parts = this.select(fields, "Which", GARMENTS);
    const strength = this.range(fields, "How much", 1);
    return {
      value: () => donor.choice && { kind: "clothes", donor: donor.choice, parts: [parts.value], strength: Number(strength.value) },
      sentence: () => `clothes (${GARMENTS[parts.value]}) of ${donor.photo.name}`,
    };
  }

  identity(fields) {
    const donor = this.donor(fields, "Whose face");
    const strength = this.range(fields, "How much", 1);
    return {
      value: () => donor.choice && { kind: "identity", donor: donor.choice, strength: Number(strength.value) },
      sentence: () => `identity of ${donor.photo.name}`,
    };
  }

  recolour(fields) {
    const parts = this.select(fields, "What", { ...Object.fromEntries(this.regions.map((name) => [name, name])), ...GARMENTS });
    const colour = this.input(fields, "Colour", { type: "color", value: "#2f5d9f" });
    const strength = this.range(fields, "How much", 1);
    return {
      value: () => ({ kind: "recolour", parts: [parts.value], colour: colour.value, strength: Number(strength.value) }),
      sentence: () => `${parts.value} in ${colour.value}`,
    };
  }

  print(fields) {
    const drop = element("div", { class: "drop", tabindex: "0", role: "button", "aria-label": "A picture to print" },
      element("p", { text: "Drop a picture, at best with transparency" }),
      element("input", { type: "file", accept: "image/*", hidden: "" }));
    const problem = element("p", { class: "error", role: "alert" });
    problem.hidden = true;
    fields.append(drop, problem);
    let picture = null;
    acceptFiles(drop, async (file) => {
      show(problem, null);
      try {
        picture = { id: (await api.uploadPicture(file)).id, name: file.name };
        find("p", drop).textContent = file.name;
        this.changed();
      } catch (error) {
        show(problem, error.message);
      }
    });
    const place = this.select(fields, "Where", { chest: "chest", back: "back" });
    const size = this.range(fields, "Size", 0.5, { min: "0.1" });
    return {
      value: () => picture && { kind: "print", picture: picture.id, place: place.value, width_share: Number(size.value), height_share: Number(size.value) },
      sentence: () => `${picture.name} printed on the ${place.value}`,
    };
  }

  blend(fields) {
    const other = this.donor(fields, "With whom");
    const what = this.select(fields, "What", { both: "clothes and face", appearance: "clothes", identity: "face" });
    const weight = this.range(fields, "How much of the other", 0.5);
    return {
      value: () => other.choice && { kind: "blend", other: other.choice, what: what.value, weight: Number(weight.value) },
      sentence: () => `${Math.round(weight.value * 100)} % of ${other.photo.name}`,
    };
  }

  donor(fields, label) {
    return new Picker(fields, {
      label,
      examples: this.examples,
      views: ["photo", "texture", "face"],
      maxBytes: this.maxBytes,
      changed: () => this.changed(),
    });
  }

  select(fields, label, options) {
    const select = element("select", {}, ...Object.entries(options).map(([value, text]) => new Option(text, value)));
    return this.field(fields, label, select);
  }

  range(fields, label, value, { min = "0" } = {}) {
    return this.input(fields, label, { type: "range", min, max: "1", step: "0.05", value });
  }

  input(fields, label, attributes) {
    return this.field(fields, label, element("input", attributes));
  }

  field(fields, label, control) {
    control.addEventListener("input", () => this.changed());
    fields.append(element("label", {}, label, control));
    return control;
  }
}
