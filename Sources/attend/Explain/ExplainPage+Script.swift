extension ExplainPage {
  /// One hue whose lightness alone says how much, so that the page reads in grey too.
  static let style = """
    :root { --low: 246 247 249; --high: 10 55 120; }
    @media (prefers-color-scheme: dark) { :root { --low: 29 32 38; --high: 214 232 255; } }
    .choice { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: center; margin: 1rem 0; }
    .choice label { white-space: nowrap; padding: .25rem 0; }
    .scale { color: var(--faint); font-size: .85rem; }
    .scale i { display: inline-block; width: 6rem; height: .8rem; vertical-align: -1px; border: 1px solid var(--rule);
      background: linear-gradient(to right, rgb(var(--low)), rgb(var(--high))); }
    .texts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
    .text { min-width: 0; padding: .75rem; background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; }
    .text h2 { margin: 0 0 .5rem; font-size: 1.05rem; overflow-wrap: anywhere; }
    .text h3 { margin: 1rem 0 .5rem; }
    .links { display: grid; grid-template-columns: minmax(0, auto) minmax(4rem, 1fr) minmax(0, auto); }
    .words > * { display: block; box-sizing: border-box; width: 100%; height: 1.75rem; line-height: 1.65rem; padding: 0 .5rem;
      font: inherit; line-height: 1.65rem; color: inherit; background: none; border: 1px solid transparent; border-radius: 4px;
      overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .left > * { text-align: right; cursor: pointer; }
    .left > [aria-selected=true] { border-color: currentColor; font-weight: 700; }
    .right .weight { color: inherit; font-size: .8rem; font-variant-numeric: tabular-nums; }
    .links svg { width: 100%; height: 100%; }
    .links path { fill: none; stroke: var(--s0); }
    .left > :focus-visible, .head:focus-visible, .choice input:focus-visible {
      outline: 3px solid var(--s1); outline-offset: 1px; }
    .map { display: block; }
    .overview { width: auto; }
    .overview th, .overview td { padding: 2px; border: 0; text-align: center; font-weight: 500; }
    .head { display: block; padding: 1px; border: 2px solid var(--rule); border-radius: 4px; background: none; cursor: pointer; }
    .head canvas { display: block; width: 48px; height: 48px; image-rendering: pixelated; }
    .head[aria-pressed=true] { border-color: var(--s1); }
    """

  static let script = #"""
    const unpack = (text) => {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const numbers = new DataView(bytes.buffer);
      return Float32Array.from({ length: bytes.length / 2 }, (_, i) => numbers.getUint16(2 * i, true) / 65535);
    };
    const texts = data.texts.map((text) => ({ ...text, maps: unpack(text.maps), rollout: unpack(text.rollout) }));
    const state = { view: 'head', layer: data.chosen.layer, head: data.chosen.head,
                    words: texts.map((text) => Math.min(data.chosen.word, text.words.length - 1)), pinned: true };
    // The same word of the other text, where it has it at the same place or anywhere.
    const chosenWord = texts[0].words[state.words[0]];
    texts.forEach((text, t) => {
      const same = text.words[state.words[t]] === chosenWord ? state.words[t] : text.words.indexOf(chosenWord);
      if (same >= 0) state.words[t] = same;
    });

    const colours = () => ['--low', '--high'].map((name) =>
      getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(/\s+/).map(Number));
    const colour = (share, [low, high]) => low.map((from, i) => Math.round(from + (high[i] - from) * share));
    const ink = (share) => matchMedia('(prefers-color-scheme: dark)').matches
      ? (share > .5 ? '#14161a' : '#e8eaee') : (share > .5 ? '#ffffff' : '#16181d');

    // The map that is shown of a text: [query][key].
    const shown = (text) => {
      const n = text.words.length;
      if (state.view === 'rollout') return text.rollout;
      const layers = state.view === 'mean' ? [...Array(text.layers).keys()] : [state.layer];
      const heads = state.view === 'head' ? [state.head] : [...Array(text.heads).keys()];
      const sum = new Float32Array(n * n);
      for (const layer of layers) for (const head of heads) {
        const start = (layer * text.heads + head) * n * n;
        for (let i = 0; i < n * n; i++) sum[i] += text.maps[start + i] / (layers.length * heads.length);
      }
      return sum;
    };
    const title = () => ({ head: `layer ${state.layer} head ${state.head}`, layer: `the mean of layer ${state.layer}`,
                           mean: 'the mean of all heads', rollout: 'the rollout' })[state.view];

    const drawText = (t) => {
      const text = texts[t], n = text.words.length, map = shown(text), word = state.words[t];
      const section = document.querySelector(`[data-text="${t}"]`);
      const row = map.subarray(word * n, word * n + n), most = Math.max(...row, 1e-9), range = colours();
      [...section.querySelector('.left').children].forEach((button, i) => {
        button.setAttribute('aria-selected', i === word);
        button.tabIndex = i === word ? 0 : -1;
      });
      [...section.querySelector('.right').children].forEach((item, i) => {
        const share = row[i] / most;
        item.style.background = `rgb(${colour(share, range)})`;
        item.style.color = ink(share);
        item.lastChild.textContent = ` ${row[i].toFixed(3)}`;
      });
      const svg = section.querySelector('svg'), box = svg.getBoundingClientRect();
      const height = section.querySelector('.left').firstChild.getBoundingClientRect().height;
      svg.setAttribute('viewBox', `0 0 ${box.width} ${box.height}`);
      svg.replaceChildren(...[...row].flatMap((weight, i) => {
        if (weight < 0.004) return [];
        const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
        const y0 = (word + .5) * height, y1 = (i + .5) * height, w = box.width;
        path.setAttribute('d', `M0 ${y0}C${w / 2} ${y0} ${w / 2} ${y1} ${w} ${y1}`);
        path.style.strokeWidth = Math.max(.5, 10 * weight);
        path.style.opacity = .25 + .75 * weight / most;
        return [path];
      }));
      const best = [...row.keys()].filter((i) => i !== word).sort((a, b) => row[b] - row[a]).slice(0, 3);
      section.querySelector('.readout').textContent = `From “${text.words[word]}”, ${title()}: `
        + best.map((i) => `${text.words[i]} ${row[i].toFixed(3)}`).join(', ');
      drawMap(section.querySelector('.map'), text, map, word, range);
    };

    const drawMap = (canvas, text, map, word, range) => {
      const n = text.words.length, cell = 20, ratio = devicePixelRatio || 1;
      const context = canvas.getContext('2d');
      context.font = '13px system-ui, sans-serif';
      const label = Math.min(110, Math.max(...text.words.map((name) => context.measureText(name).width)) + 10);
      const size = label + n * cell + 4;
      canvas.width = size * ratio;
      canvas.height = size * ratio;
      canvas.style.width = canvas.style.height = `${size}px`;
      context.scale(ratio, ratio);
      context.font = '13px system-ui, sans-serif';
      const style = getComputedStyle(document.body);
      for (let i = 0; i < n; i++) {
        context.fillStyle = style.color;
        context.font = `${i === word ? 'bold ' : ''}13px system-ui, sans-serif`;
        context.textAlign = 'right';
        context.textBaseline = 'middle';
        context.fillText(text.words[i], label - 5, label + (i + .5) * cell, label - 8);
        context.save();
        context.translate(label + (i + .5) * cell, label - 5);
        context.rotate(-Math.PI / 2);
        context.textAlign = 'left';
        context.fillText(text.words[i], 0, 0, label - 8);
        context.restore();
        const most = Math.max(...map.subarray(i * n, i * n + n), 1e-9);
        for (let j = 0; j < n; j++) {
          context.fillStyle = `rgb(${colour(map[i * n + j] / most, range)})`;
          context.fillRect(label + j * cell, label + i * cell, cell - 1, cell - 1);
        }
      }
      context.strokeStyle = style.color;
      context.lineWidth = 2;
      context.strokeRect(label - 1, label + word * cell - 1, n * cell + 1, cell + 1);
    };

    const drawOverview = () => {
      const text = texts[0], n = text.words.length, range = colours();
      for (const button of document.querySelectorAll('.head')) {
        const layer = +button.dataset.layer, head = +button.dataset.head;
        const canvas = button.firstChild, start = (layer * text.heads + head) * n * n;
        canvas.width = canvas.height = n;
        const context = canvas.getContext('2d'), image = context.createImageData(n, n);
        for (let i = 0; i < n * n; i++) {
          image.data.set(colour(Math.sqrt(text.maps[start + i]), range), 4 * i);
          image.data[4 * i + 3] = 255;
        }
        context.putImageData(image, 0, 0);
      }
    };
    const mark = () => {
      for (const button of document.querySelectorAll('.head')) {
        const isChosen = +button.dataset.layer === state.layer && +button.dataset.head === state.head;
        button.setAttribute('aria-pressed', isChosen && state.view === 'head');
        button.tabIndex = isChosen ? 0 : -1;
      }
      document.querySelector(`[value=${state.view}]`).checked = true;
    };
    const draw = () => { mark(); texts.forEach((_, t) => drawText(t)); };

    texts.forEach((text, t) => {
      const section = document.querySelector(`[data-text="${t}"]`), left = section.querySelector('.left');
      const choose = (i, focus) => {
        state.words[t] = (i + text.words.length) % text.words.length;
        drawText(t);
        if (focus) left.children[state.words[t]].focus();
      };
      text.words.forEach((word, i) => {
        const button = document.createElement('div');
        button.setAttribute('role', 'option');
        button.textContent = word;
        button.title = word;
        button.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse') choose(i); });
        button.addEventListener('click', () => choose(i, true));
        left.append(button);
        const item = document.createElement('div'), weight = document.createElement('span');
        weight.className = 'weight';
        item.append(word, weight);
        item.title = word;
        section.querySelector('.right').append(item);
      });
      left.addEventListener('keydown', (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        const end = { Home: 0, End: text.words.length - 1 }[event.key];
        if (step === undefined && end === undefined) return;
        event.preventDefault();
        choose(end ?? state.words[t] + step, true);
      });
    });
    for (const input of document.querySelectorAll('[name=view]'))
      input.addEventListener('change', () => { state.view = input.value; draw(); });
    const choose = (layer, head, focus) => {
      const { layers, heads } = texts[0];
      state.layer = (layer + layers) % layers;
      state.head = (head + heads) % heads;
      if (state.view !== 'layer') state.view = 'head';
      draw();
      if (focus) document.querySelector(`[data-layer="${state.layer}"][data-head="${state.head}"]`).focus();
    };
    const overview = document.querySelector('.overview');
    overview.addEventListener('click', (event) => {
      const button = event.target.closest('.head');
      if (button) choose(+button.dataset.layer, +button.dataset.head, true);
    });
    overview.addEventListener('keydown', (event) => {
      const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key];
      if (!step) return;
      event.preventDefault();
      choose(state.layer + step[0], state.head + step[1], true);
    });
    const redraw = () => { drawOverview(); draw(); };
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
    addEventListener('resize', draw);
    redraw();
    """#
}
