// The studio: who, in which pose, with which changes; then generate, watch and keep.

import * as api from "./api.js";
import { Edits } from "./edits.js";
import { find, show } from "./elements.js";
import { Picker } from "./picker.js";
import { Results } from "./results.js";

const POLL_MS = 200;
const PREVIEW_AFTER_MS = 300;
const MAX_SEED = 2 ** 31;

class Studio {
  constructor(model, examples) {
    this.model = model;
    this.source = null;
    this.target = null;
    this.running = []; // ids of renders that were started and not ended
    this.results = new Results();
    const maxBytes = model.limits.max_upload_bytes;
    const role = (name) => examples.filter((example) => example.role === name);
    this.person = new Picker(find("#person"), {
      label: "Who",
      examples: role("person"),
      views: ["photo", "overlay", "texture", "face"],
      maxBytes,
      changed: (choice) => this.chosen({ source: choice }),
    });
    this.pose = new Picker(find("#pose"), {
      label: "Pose",
      examples: role("pose"),
      views: ["overlay", "iuv", "photo"],
      maxBytes,
      changed: (choice) => this.chosen({ target: choice }),
    });
    this.edits = new Edits({ examples: role("person"), regions: model.regions, maxBytes, changed: () => this.previewSoon() });
    this.form = find("#settings");
    this.prepareForm();
  }

  prepareForm() {
    const { elements } = this.form;
    const { defaults, schedulers } = this.model;
    elements.scheduler.replaceChildren(...schedulers.map((name) => new Option(name, name)));
    for (const name of ["num_steps", "guidance_scale", "scheduler", "seed"]) elements[name].value = defaults[name];
    elements.background.addEventListener("change", () => {
      find("#colour-field").hidden = elements.background.value !== "colour";
    });
    find("#dice").addEventListener("click", () => {
      elements.seed.value = Math.floor(Math.random() * MAX_SEED);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.generate();
    });
    find("#cancel").addEventListener("click", () => this.cancel());
  }

  chosen(choice) {
    Object.assign(this, choice);
    const ready = this.source !== null && this.target !== null;
    find("#run").disabled = !ready || this.running.length > 0;
    if (this.running.length === 0) this.say(ready ? "" : this.source ? "Choose a pose." : "Choose a person and a pose.");
    if ("source" in choice) this.previewSoon();
  }

  previewSoon() {
    clearTimeout(this.previewTimer);
    this.previewTimer = setTimeout(() => this.preview(), PREVIEW_AFTER_MS);
  }

  async preview() {
    this.previewing?.abort();
    const edits = this.edits.values();
    const figure = find("#preview");
    show(find("#preview-error"), null);
    if (!this.source || edits.length === 0) {
      figure.hidden = true;
      return;
    }
    this.previewing = new AbortController();
    try {
      const picture = await api.preview(this.source, edits, this.previewing.signal);
      const image = find("img", figure);
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(picture);
      figure.hidden = false;
    } catch (error) {
      if (error.name === "AbortError") return;
      figure.hidden = true;
      show(find("#preview-error"), error.message);
    }
  }

  requests() {
    const { elements } = this.form;
    const background = elements.background.value === "colour" ? elements.colour.value : elements.background.value;
    const first = Number(elements.seed.value);
    return Array.from({ length: Number(elements.count.value) }, (_, index) => ({
      source: this.source,
      target: this.target,
      edits: this.edits.values(),
      attention: elements.attention.checked,
      settings: {
        seed: first + index,
        num_steps: Number(elements.num_steps.value),
        guidance_scale: Number(elements.guidance_scale.value),
        scheduler: elements.scheduler.value,
        background,
      },
    }));
  }

  async generate() {
    if (!this.source || !this.target || this.running.length > 0) return;
    const about = { title: `${this.person.photo.name} → ${this.pose.photo.name}`, changes: this.edits.sentences() };
    this.begin();
    try {
      const started = [];
      for (const request of this.requests()) {
        const { id } = await api.startRender(request);
        this.running.push(id);
        started.push({ id, request });
      }
      for (const { id, request } of started) await this.follow(id, { request, ...about }, started.length);
      this.say("");
    } catch (error) {
      this.say("");
      this.complain(error.message);
    } finally {
      this.end();
    }
  }

  async follow(id, about, total) {
    for (;;) {
      const render = await api.render(id);
      this.progress(render, total);
      if (["done", "failed", "cancelled"].includes(render.state)) {
        this.running = this.running.filter((other) => other !== id);
        if (render.state === "done") this.results.add(render, about);
        if (render.state === "failed") throw new api.ApiError(render.error);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  progress(render, total) {
    const bar = find("#progress");
    const finished = total - this.running.length;
    bar.max = total;
    bar.value = finished + (render.num_steps ? render.step / render.num_steps : 0);
    const which = total > 1 ? `picture ${Math.min(total, finished + 1)} of ${total}: ` : "";
    if (render.state === "queued") this.say(`${which}waiting, ${render.position} before`);
    if (render.state === "running") this.say(`${which}step ${render.step} of ${render.num_steps}`);
  }

  begin() {
    this.complain(null);
    find("#run").disabled = true;
    find("#cancel").hidden = false;
    find("#progress").hidden = false;
    find("#progress").value = 0;
    this.say("starting …");
  }

  end() {
    this.running = [];
    find("#cancel").hidden = true;
    find("#progress").hidden = true;
    this.chosen({});
  }

  async cancel() {
    this.say("stopping …");
    await Promise.allSettled(this.running.map((id) => api.forget(id)));
  }

  say(text) {
    find("#progress-text").textContent = text;
  }

  complain(sentence) {
    show(find("#banner"), sentence);
  }
}

async function start() {
  try {
    const [model, examples] = await Promise.all([api.model(), api.examples()]);
    find("#model").textContent = `${model.name} on ${model.device}`;
    new Studio(model, examples);
    document.body.dataset.ready = "true";
  } catch (error) {
    show(find("#banner"), error.message);
  }
}

start();
