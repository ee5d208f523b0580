// What the page asks of the service. Every failure is an ApiError whose message is a sentence for the user.

export class ApiError extends Error {}

const UNREACHABLE = "The studio does not answer: is it still running where it was started?";

async function ask(method, path, { body, json, signal } = {}) {
  const headers = json === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(UNREACHABLE);
  }
  if (!response.ok) throw new ApiError(await sentence(response));
  return response;
}

async function sentence(response) {
  try {
    const { detail } = await response.json();
    if (typeof detail === "string") return detail;
  } catch {
    // not JSON: the status is all there is
  }
  return `The studio refused this (${response.status} ${response.statusText}).`;
}

const answer = async (...call) => (await ask(...call)).json();

export const model = () => answer("GET", "v1/model");
export const examples = () => answer("GET", "v1/examples");
export const photo = (id) => answer("GET", `v1/photos/${id}`);
export const upload = (file) =>
  answer("POST", `v1/photos?name=${encodeURIComponent(file.name)}`, { body: file });
export const uploadPicture = (file) =>
  answer("POST", `v1/pictures?name=${encodeURIComponent(file.name)}`, { body: file });
export const view = (choice, what) => `v1/photos/${choice.photo}/people/${choice.person}/${what}.png`;
export const startRender = (request) => answer("POST", "v1/renders", { json: request });
export const render = (id) => answer("GET", `v1/renders/${id}`);
export const forget = (id) => ask("DELETE", `v1/renders/${id}`);

export async function preview(source, edits, signal) {
  const response = await ask("POST", "v1/previews", { json: { source, edits }, signal });
  return response.blob();
}
