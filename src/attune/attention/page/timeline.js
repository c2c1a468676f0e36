// The strip of frames below the picture: which is shown, which have paint.

import { colours, paintHeat } from "./stage.js";

const COLOUR = colours(() => [255, 60, 140]);

export class Timeline {
  constructor(list, choose) {
    Object.assign(this, { list, choose });
    this.heat = document.createElement("canvas");
  }

  show(painting, images) {
    Object.assign(this, { painting, images });
    Object.assign(this.heat, { width: painting.width, height: painting.height });
    this.drawn = [];
    this.list.replaceChildren(
      ...images.map((_, k) => {
        const entry = document.createElement("li");
        const button = document.createElement("button");
        const picture = document.createElement("canvas");
        Object.assign(picture, { width: 104, height: Math.round((104 * painting.height) / painting.width) });
        button.type = "button";
        button.tabIndex = -1; // the slider above does the same by keyboard
        button.append(picture);
        button.addEventListener("click", () => this.choose(k));
        entry.append(button);
        return entry;
      }),
    );
    this.draw(0);
  }

  draw(current) {
    [...this.list.children].forEach((entry, k) => {
      const button = entry.firstElementChild;
      if (k === current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      const values = this.painting.map[k];
      if (this.drawn[k] === values) return;
      this.drawn[k] = values;
      const painted = this.painting.isPainted(k);
      entry.classList.toggle("painted", painted);
      button.setAttribute("aria-label", `Frame ${k + 1}${painted ? ", painted" : ""}`);
      const picture = button.firstElementChild;
      const context = picture.getContext("2d");
      context.drawImage(this.images[k], 0, 0, picture.width, picture.height);
      if (!painted) return;
      paintHeat(this.heat, values, COLOUR, 0.8);
      context.drawImage(this.heat, 0, 0, picture.width, picture.height);
    });
    const shown = this.list.children[current];
    if (shown && this.list.scrollWidth > this.list.clientWidth) {
      this.list.scrollTo({ left: shown.offsetLeft - (this.list.clientWidth - shown.offsetWidth) / 2 });
    }
  }
}
