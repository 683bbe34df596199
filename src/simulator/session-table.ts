import { type Clock } from '../common/clock.js';
import { type Role } from './datamodel/role.js';
import { type RecordStore } from './record-store.js';
import { SimulatedFailure } from './simulated-failure.js';
import { EPOCH, NULL_REF, textOf, wireDate, type XapiRecord } from './wire/wire-value.js';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Somebody of the directory that the pool trusts. */
export interface DirectoryUser {
  readonly username: string;
  readonly password: string;
  /** Undefined: is known, but may not log in. */
  readonly role: Role | undefined;
  /** Reference of the subject. */
  readonly subject: string;
  /** What the directory calls the user by. */
  readonly identifier: string;
}

/** How many sessions a group may have; a further login ends the one that was used longest ago. */
const MAX_SESSIONS_OF_GROUP = 500;
/** The same for what the superuser opens without saying who he is. */
const MAX_SESSIONS_WITHOUT_NAME = 400;
const SUPERUSER = 'root';
/** A session that nobody used for so long is over (facts 1.5). */
const IDLE_MS = 24 * 60 * 60_000;
/** `last_active` is brought up to date at most so often. */
const TOUCH_MS = 10 * 60_000;

/** Who is logged in. Sessions are records of the store, so that events and `valid_ref_counts` see them. */
export class SessionTable {
  readonly #store: RecordStore;
  readonly #clock: Clock;
  readonly #ended = new Set<(ref: string) => void>();
  /** Sessions that are good at one host only, by the host. */
  readonly #local = new Map<string, string>();
  readonly #users = new Map<string, DirectoryUser>();
  readonly #roles = new Map<string, Role>();
  credentials: Credentials;

  constructor(store: RecordStore, clock: Clock, credentials: Credentials) {
    this.#store = store;
    this.#clock = clock;
    this.credentials = credentials;
  }

  /** Lets somebody besides the local superuser log in. */
  addUser(user: DirectoryUser): void {
    this.#users.set(user.username, user);
  }

  /**
   * Opens a session. Throws SESSION_AUTHENTICATION_FAILED or SESSION_AUTHORIZATION_FAILED [user, text]. `isLocal`: good
   * on one host only.
   */
  login(username: string, password: string, originator: string, host: string, isLocal = false): string {
    const user = this.#identify(username, password);
    const now = wireDate(this.#clock.nowMs());
    this.#makeRoom(username, originator);
    const ref = this.#store.create('session', {
      this_host: host,
      this_user: NULL_REF,
      last_active: now,
      validation_time: isLocal ? EPOCH : now,
      pool: false,
      is_local_superuser: user === undefined,
      subject: user?.subject ?? NULL_REF,
      auth_user_sid: user?.identifier ?? '',
      auth_user_name: username,
      originator,
      client_certificate: false,
    });
    if (isLocal) this.#local.set(ref, host);
    if (user?.role !== undefined) this.#roles.set(ref, user.role);
    return ref;
  }

  /** The role of a session; undefined for the local superuser, who may everything. */
  roleOf(ref: string): Role | undefined {
    return this.#roles.get(ref);
  }

  /** Throws SESSION_INVALID [ref] when the session is not, or no longer, good. Counts as use of it. */
  check(ref: string): void {
    if (!this.isOpen(ref)) throw new SimulatedFailure('SESSION_INVALID', [ref]);
  }

  /** Counts as use of it. */
  isOpen(ref: string): boolean {
    const record = this.#store.find('session', ref);
    if (record === undefined) return false;
    if (this.#isIdle(record)) {
      this.end(ref);
      return false;
    }
    const nowMs = this.#clock.nowMs();
    if (textOf(record, 'last_active') < wireDate(nowMs - TOUCH_MS)) {
      this.#store.patch('session', ref, { last_active: wireDate(nowMs) });
    }
    return true;
  }

  /** Ends the sessions that nobody used for a day. */
  collect(): void {
    for (const [ref, record] of this.#store.all('session')) if (this.#isIdle(record)) this.end(ref);
  }

  /** The host at which alone the session is good; undefined for a session of the whole pool. */
  localHostOf(ref: string): string | undefined {
    return this.#local.get(ref);
  }

  /** Ends a session; blocked event calls of it are told. */
  end(ref: string): void {
    if (!this.#store.has('session', ref)) return;
    this.#store.destroy('session', ref);
    this.#local.delete(ref);
    this.#roles.delete(ref);
    for (const listener of [...this.#ended]) listener(ref);
  }

  get count(): number {
    return this.#store.count('session');
  }

  onEnd(listener: (ref: string) => void): () => void {
    this.#ended.add(listener);
    return () => this.#ended.delete(listener);
  }

  /** The superuser's sessions are counted by originator, those of anybody else by his name, whatever the originator. */
  #makeRoom(username: string, originator: string): void {
    const isSuperuser = username === SUPERUSER;
    const ofGroup = this.#store.all('session').filter(([, record]) => {
      const name = textOf(record, 'auth_user_name');
      return isSuperuser ? name === SUPERUSER && textOf(record, 'originator') === originator : name === username;
    });
    const limit = isSuperuser && originator === '' ? MAX_SESSIONS_WITHOUT_NAME : MAX_SESSIONS_OF_GROUP;
    if (ofGroup.length < limit) return;
    const [oldest] = ofGroup.sort(([, a], [, b]) => compareText(textOf(a, 'last_active'), textOf(b, 'last_active')));
    if (oldest !== undefined) this.end(oldest[0]);
  }

  #isIdle(record: XapiRecord): boolean {
    return textOf(record, 'last_active') < wireDate(this.#clock.nowMs() - IDLE_MS);
  }

  /** Undefined for the local superuser. */
  #identify(username: string, password: string): DirectoryUser | undefined {
    if (username === this.credentials.username && password === this.credentials.password) return undefined;
    const user = this.#users.get(username);
    if (user?.password !== password) {
      throw new SimulatedFailure('SESSION_AUTHENTICATION_FAILED', [username, 'Authentication failure']);
    }
    if (user.role === undefined) {
      throw new SimulatedFailure('SESSION_AUTHORIZATION_FAILED', [
        username,
        'Subject has no role assigned to it in this pool',
      ]);
    }
    return user;
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
