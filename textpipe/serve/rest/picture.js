"use strict";
// A picture as the first field of a row: chosen, dropped or pasted. It is drawn on canvases, so that the page needs no image source.
const PICTURE_SIDE = 240, LOOK_SIDE = 120, DARKNESS = 0.8;
let picture = null;  // {b64, name, bitmap}

const pictured = model => Boolean(model.inputs) && kind(model, model.inputs[0]) === "image";
const pictureCell = () => picture && {b64: picture.b64};

function pictureCurl(model) {
  const secret = token ? ' -H "Authorization: Bearer $TOKEN"' : "", name = picture ? picture.name : "picture.png";
  const before = model.inputs.length > 1 ? "{" + JSON.stringify(model.inputs[0]) + ":" : "", after = before ? "}" : "";
  // Through a pipe, because a shell's arguments are limited in size.
  const parts = ['{"instances":[' + before + '{"b64":"', '"}' + after + "]}"].map(part => "printf " + quoted(part.replaceAll("%", "%%")));
  return "(" + parts[0] + "; base64 -w0 " + quoted(name) + "; " + parts[1] + ") | curl" + secret + " -d @- " + location.origin + modelUrl(model, "predict");
}

async function readPicture(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  let bitmap = null;
  try { bitmap = await createImageBitmap(file); } catch { /* the server says what is wrong with it */ }
  return {b64: btoa(text), name: file.name || "picture.png", bitmap};
}

function drawBitmap(canvas, side) {
  const {width, height} = picture.bitmap, scale = side / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = scale < 1;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture.bitmap, 0, 0, canvas.width, canvas.height);
  return context;
}

// The picture with dark regions where a word did not attend; grid: rows and columns of the regions.
function look(word, weights, [rows, columns]) {
  const canvas = create("canvas", {title: word});
  if (picture?.bitmap) {
    const context = drawBitmap(canvas, LOOK_SIDE), most = Math.max(...weights) || 1;
    weights.forEach((weight, index) => {
      const across = canvas.width / columns, down = canvas.height / rows;
      context.fillStyle = "rgb(0 0 0 / " + (DARKNESS * (1 - weight / most)).toFixed(3) + ")";
      context.fillRect((index % columns) * across, Math.floor(index / columns) * down, across, down);
    });
  }
  return create("figure", {}, canvas, create("figcaption", {dir: "auto", textContent: word}));
}

function watchPictures(changed, failed) {
  const take = async file => {
    if (!file) return;
    try { picture = await readPicture(file); } catch (error) { return failed(error); }
    if (picture.bitmap) drawBitmap(at("shown"), PICTURE_SIDE);
    else at("shown").width = at("shown").height = 0;
    changed();
  };
  // A file that misses the box would replace the page, so it may be dropped anywhere.
  const dragged = event => !at("drop").hidden && event.dataTransfer.types.includes("Files");
  const over = on => event => { if (dragged(event)) { event.preventDefault(); at("drop").classList.toggle("over", on); } };
  at("file").addEventListener("change", () => take(at("file").files[0]));
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", event => { over(false)(event); if (dragged(event)) take(event.dataTransfer.files[0]); });
  document.addEventListener("paste", event => { if (!at("drop").hidden) take([...event.clipboardData.files].find(file => file.type.startsWith("image/"))); });
}
