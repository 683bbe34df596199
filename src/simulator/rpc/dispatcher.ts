import { type MessageModel } from '../datamodel/datamodel.js';
import { strike } from '../behaviour/fault-acts.js';
import { isHeadless, isInEmergency, untilLed } from '../behaviour/headless.js';
import { type FaultAction } from '../faults.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { type Outcome } from '../wire/answers.js';
import { rpcStrings, toRpc, VOID, type RpcValue } from '../wire/rpc-value.js';
import { textOf } from '../wire/wire-value.js';
import { type IncomingCall } from '../wire/xml-call.js';
import { toXmlText } from '../wire/xml-text.js';
import { assertRole } from './access.js';
import { defaultArgument, readArgument } from './arguments.js';
import { genericMethod } from './generic-methods.js';
import { applyToAnswer, applyToCall } from './call-faults.js';
import { EmergencyMode, isEmergencyCall } from './emergency.js';
import { Arguments, type CallContext, type Method, type MethodResult, type MethodTable } from './method.js';
import { assertReachable } from './reachability.js';

/** Where a call came in. */
export interface Origin {
  /** Reference of the host that was asked. */
  readonly host: string;
  /** Aborts when the client is gone or the pool closes. */
  readonly signal: AbortSignal;
  /** Aborts when the pool closes: what an `Async.` call runs under. */
  readonly poolSignal: AbortSignal;
}

const ASYNC_PREFIX = 'Async.';

/**
 * Runs calls: checks method, session and parameters as XAPI does and in its order, then the behaviour written by hand
 * or, without any, what the datamodel alone says.
 */
export class Dispatcher {
  readonly #pool: SimulatedPool;
  readonly #methods: MethodTable;
  readonly #generic = new Map<string, Method | undefined>();

  constructor(pool: SimulatedPool, methods: MethodTable) {
    this.#pool = pool;
    this.#methods = methods;
  }

  /** Never rejects for what a call does wrong: that is an outcome too. `faults` act inside, in the task of an `Async.` call. */
  async dispatch(call: IncomingCall, origin: Origin, faults: readonly FaultAction[] = []): Promise<Outcome> {
    try {
      return { isSuccess: true, value: await this.#run(call, origin, faults) };
    } catch (thrown) {
      const { description } = toSimulatedFailure(thrown);
      return { isSuccess: false, description, ...(thrown instanceof EmergencyMode ? { isUndispatched: true } : {}) };
    }
  }

  async #run(call: IncomingCall, origin: Origin, faults: readonly FaultAction[]): Promise<RpcValue> {
    this.#pool.collectGarbage();
    if (isInEmergency(this.#pool, origin.host) && !isEmergencyCall(call.method)) throw new EmergencyMode();
    if (call.method === 'system.listMethods') return rpcStrings(this.#methodNames());
    const isAsync = call.method.startsWith(ASYNC_PREFIX);
    const name = isAsync ? call.method.slice(ASYNC_PREFIX.length) : call.method;
    const message = this.#pool.datamodel.message(name);
    this.#strikeBefore(call, message, origin, faults);
    if (message !== undefined && !message.isRemoved) checkCount(call, message);
    await this.#waitForCoordinator(call, message, origin);
    const session = this.#checkAccess(call, message, origin);
    if (message === undefined) throw new SimulatedFailure('MESSAGE_METHOD_UNKNOWN', [call.method]);
    if (message.isRemoved) throw new SimulatedFailure('MESSAGE_REMOVED');
    if (isAsync && !message.hasAsync) {
      throw new SimulatedFailure('Fault', [`No async mode for this operation (rpc: ${name})`]);
    }
    const args = this.#readArguments(call, message);
    if (isAsync) return this.#start(message, args, session, origin, faults);
    const task = `DummyRef:|${this.#pool.passingRandom.uuid()}|${message.name}`;
    const context = { pool: this.#pool, host: origin.host, session, task, isAsync, signal: origin.signal };
    const value = await this.#execute(message, context, args, faults);
    applyToAnswer(faults);
    return value;
  }

  /** What the faults do to the pool before anything is looked at: a session that ends now is invalid for this call. */
  #strikeBefore(
    call: IncomingCall,
    message: MessageModel | undefined,
    { host }: Origin,
    faults: readonly FaultAction[],
  ): void {
    if (faults.length === 0) return;
    const [first] = call.params;
    const hasSession = first !== undefined && (message?.needsSession ?? false);
    const session = hasSession ? textArgument(first, this.#pool) : '';
    strike(faults, { pool: this.#pool, host, session }, 'before');
    if (this.#pool.downHosts.has(host)) throw new SimulatedFailure('CLIENT_ERROR', ['the host is gone']);
  }

  /** A member asks the coordinator's database about every session but those that it gave out itself. */
  async #waitForCoordinator(call: IncomingCall, message: MessageModel | undefined, origin: Origin): Promise<void> {
    if (!isHeadless(this.#pool, origin.host) || isEmergencyCall(message?.name ?? '')) return;
    if (call.params.length > 0 && (message?.needsSession ?? true)) {
      await untilLed(this.#pool, origin.host, origin.signal);
    }
  }

  /** The session of the call; throws SESSION_INVALID and HOST_IS_SLAVE. */
  #checkAccess(call: IncomingCall, message: MessageModel | undefined, origin: Origin): string {
    const isMember = origin.host !== this.#pool.coordinator;
    const needsSession = message?.needsSession ?? call.params.length > 0;
    const [first] = call.params;
    let session = '';
    if (needsSession && first !== undefined) {
      session = textArgument(first, this.#pool);
      this.#pool.sessions.check(session);
    }
    if (isMember && !isEmergencyCall(message?.name ?? '') && this.#pool.sessions.localHostOf(session) !== origin.host) {
      throw new SimulatedFailure('HOST_IS_SLAVE', [
        textOf(this.#pool.store.get('host', this.#pool.coordinator), 'address'),
      ]);
    }
    return session;
  }

  #readArguments(call: IncomingCall, message: MessageModel): Arguments {
    const given = message.needsSession ? call.params.slice(1) : call.params;
    return new Arguments(
      message.params.map(({ type }, index) => {
        const value = given[index];
        return value === undefined ? defaultArgument(type) : readArgument(value, type, this.#pool.datamodel);
      }),
    );
  }

  async #execute(
    message: MessageModel,
    context: CallContext,
    args: Arguments,
    faults: readonly FaultAction[],
  ): Promise<RpcValue> {
    assertRole(this.#pool, context.session, message.name.toLowerCase(), message.role);
    await applyToCall(faults, context, args);
    const method = this.#methodFor(message);
    if (method === undefined) throw new SimulatedFailure('NOT_IMPLEMENTED', [message.name]);
    assertReachable(this.#pool, message, args);
    const result = this.#typed(await method(context, args), message);
    strike(faults, context, 'after');
    return result;
  }

  #start(
    message: MessageModel,
    args: Arguments,
    session: string,
    origin: Origin,
    faults: readonly FaultAction[],
  ): RpcValue {
    const pool = this.#pool;
    const task = pool.tasks.create({ label: `${ASYNC_PREFIX}${message.name}`, session, host: pool.coordinator });
    pool.store.patch('task', task, { allowed_operations: ['cancel'] });
    for (const action of faults) {
      if ('vanishTask' in action) pool.tasks.setEnding(task, 'vanish');
      if ('taskFailure' in action) {
        const [code, ...params] = action.taskFailure;
        pool.tasks.setEnding(task, new SimulatedFailure(code, params));
      }
    }
    const signal = AbortSignal.any([origin.poolSignal, pool.tasks.signalOf(task)]);
    const context = { pool, host: origin.host, session, task, isAsync: true, signal };
    void new Promise((resolve) => setImmediate(resolve))
      .then(() => this.#execute(message, context, args, faults))
      .then(
        (value) => {
          pool.tasks.succeed(task, toXmlText(value));
        },
        (thrown: unknown) => {
          pool.tasks.fail(task, toSimulatedFailure(thrown));
        },
      );
    return { tag: 'string', value: task };
  }

  #methodFor(message: MessageModel): Method | undefined {
    const byHand = this.#methods[message.name];
    if (byHand !== undefined) return byHand;
    if (!this.#generic.has(message.name)) {
      const cls = this.#pool.datamodel.classes.get(message.cls);
      this.#generic.set(message.name, cls && genericMethod(message, cls));
    }
    return this.#generic.get(message.name);
  }

  #typed(result: MethodResult, message: MessageModel): RpcValue {
    if (result === undefined) return VOID;
    if (typeof result === 'object' && 'rpc' in result && isTyped(result)) return result.rpc;
    const { classes } = this.#pool.datamodel;
    const shapes = { fieldType: (cls: string, field: string) => classes.get(cls)?.fields.get(field)?.type };
    return toRpc(result, message.result, shapes);
  }

  #methodNames(): readonly string[] {
    return [...this.#pool.datamodel.classes.values()].flatMap((cls) =>
      [...cls.messages.values()].map((message) => message.name),
    );
  }
}

/** Counts before anything else is looked at, as XAPI does. Throws MESSAGE_PARAMETER_COUNT_MISMATCH [method, expected, received]. */
function checkCount(call: IncomingCall, message: MessageModel): void {
  const given = message.needsSession ? Math.max(0, call.params.length - 1) : call.params.length;
  const required = message.params.filter(({ isOptional }) => !isOptional).length;
  const isTooMany = given > message.params.length && required === message.params.length;
  const lacksSession = message.needsSession && call.params.length === 0;
  if (given >= required && !isTooMany && !lacksSession) return;
  throw new SimulatedFailure('MESSAGE_PARAMETER_COUNT_MISMATCH', [message.name, String(required), String(given)]);
}

function isTyped(result: object): result is { readonly rpc: RpcValue } {
  const { rpc } = result as { readonly rpc?: unknown };
  return typeof rpc === 'object' && rpc !== null && 'tag' in rpc;
}

function textArgument(value: RpcValue, pool: SimulatedPool): string {
  const text = readArgument(value, { kind: 'string' }, pool.datamodel);
  return typeof text === 'string' ? text : '';
}
