import { Binding } from './binding.js';

export interface Difference {
  /** `flow: note: VM.version`. */
  readonly place: string;
  readonly captured: string;
  readonly simulated: string;
}

type Items = Readonly<Record<string, unknown>>;

const DATE = /^\d{8}T\d\d:\d\d:\d\dZ$/;
const NEVER = '19700101T00:00:00Z';
/** Numbers and texts that no two runs share: only their form is compared. */
const RANDOM_FORMS = [/^-?\d+:-?\d+$/, /^\d{20},\d{20}$/, /^trackid=[0-9a-f]{32}$/];

/** Compares captured answers with simulated ones, value by value, and keeps count. */
export class Comparison {
  readonly binding = new Binding();
  readonly differences: Difference[] = [];
  steps = 0;
  answers = 0;
  fields = 0;

  compare(place: string, captured: unknown, simulated: unknown): void {
    if (isItems(captured) && isItems(simulated)) {
      this.#compareItems(place, captured, simulated);
    } else if (Array.isArray(captured) && Array.isArray(simulated)) {
      this.#compareLists(place, captured, simulated);
    } else {
      this.fields += 1;
      if (!this.#isSame(captured, simulated)) this.differ(place, captured, simulated);
    }
  }

  differ(place: string, captured: unknown, simulated: unknown): void {
    this.differences.push({ place, captured: shown(captured), simulated: shown(simulated) });
  }

  #compareItems(place: string, captured: Items, simulated: Items): void {
    const unmatched = new Set(Object.keys(simulated));
    const left: string[] = [];
    for (const key of Object.keys(captured)) {
      const own = this.binding.translate(key);
      if (unmatched.delete(own)) this.compare(`${place}.${labelOf(key)}`, captured[key], simulated[own]);
      else left.push(key);
    }
    for (const key of left) {
      const own = [...unmatched].find((one) => this.binding.meet(key, one) === one);
      if (own === undefined) {
        this.fields += 1;
        this.differ(`${place}.${labelOf(key)}`, captured[key], undefined);
        continue;
      }
      unmatched.delete(own);
      this.compare(`${place}.${labelOf(key)}`, captured[key], simulated[own]);
    }
    for (const key of unmatched) {
      this.fields += 1;
      this.differ(`${place}.${labelOf(key)}`, undefined, simulated[key]);
    }
  }

  /** Sets of names and references have no order; lists of anything else have. */
  #compareLists(place: string, captured: readonly unknown[], simulated: readonly unknown[]): void {
    const isSet = !place.endsWith('.data') && !place.endsWith('.error_info');
    if (!isSet || ![...captured, ...simulated].every((item) => typeof item === 'string')) {
      if (captured.length !== simulated.length) {
        this.fields += 1;
        this.differ(place, captured, simulated);
        return;
      }
      for (const [index, item] of captured.entries()) this.compare(`${place}[${index}]`, item, simulated[index]);
      return;
    }
    this.fields += 1;
    const unmatched = new Set(simulated as readonly string[]);
    const left = (captured as readonly string[]).filter((item) => !unmatched.delete(this.binding.translate(item)));
    const missing = left.filter((item) => {
      const own = [...unmatched].find((one) => !this.binding.isBound(item) && this.binding.meet(item, one) === one);
      return own === undefined || !unmatched.delete(own);
    });
    if (missing.length > 0 || unmatched.size > 0) this.differ(place, missing, [...unmatched]);
  }

  #isSame(captured: unknown, simulated: unknown): boolean {
    if (typeof captured !== 'string' || typeof simulated !== 'string') return captured === simulated;
    if (DATE.test(captured) && DATE.test(simulated)) return (captured === NEVER) === (simulated === NEVER);
    if (RANDOM_FORMS.some((form) => form.test(captured) && form.test(simulated))) return true;
    return this.binding.meet(captured, simulated) === simulated;
  }
}

function isItems(value: unknown): value is Items {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A reference as a key says nothing by itself. */
function labelOf(key: string): string {
  return /^(OpaqueRef|DummyRef):/.test(key) ? 'ref' : key;
}

function shown(value: unknown): string {
  if (value === undefined) return '(absent)';
  const text = JSON.stringify(value);
  return text.length > 400 ? `${text.slice(0, 400)}...` : text;
}
