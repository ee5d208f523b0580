// Small help with the document.

export const find = (selector, root = document) => root.querySelector(selector);

export const copyOf = (template) => document.getElementById(template).content.firstElementChild.cloneNode(true);

export function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

export function show(node, text) {
  node.textContent = text ?? "";
  node.hidden = !text;
}

// "drop" calls `take(file)` for a dropped, pasted or chosen file.
export function acceptFiles(drop, take) {
  const input = find("input[type=file]", drop);
  drop.addEventListener("click", () => input.click());
  input.addEventListener("click", (event) => event.stopPropagation());
  input.addEventListener("change", () => {
    if (input.files[0]) take(input.files[0]);
    input.value = "";
  });
  drop.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      input.click();
    }
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
