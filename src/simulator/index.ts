/** A XenServer / XCP-ng pool to test against: it speaks the real wire on loopback, from data, without a hypervisor. */
export { startSimulatedPool, type RunningHost, type RunningPool, type SimulatedPoolOptions } from './running-pool.js';
export { readPoolDefinition, DEFAULT_POOL_FILE } from './pool-file.js';
export { type PoolDefinition } from './pool-definition.js';
export { type DatabaseRestore, type GuestBehaviour, type HostRestore } from './pool-conditions.js';
export { type PoolTimings } from './timings.js';
export { type PoolState, type StateOptions } from './pool-state.js';
export { readFaults, type Fault, type FaultAction, type FaultMatch } from './faults.js';
export { ControlFailure } from './control/perform.js';
export { PoolClock } from './pool-clock.js';
export { DEFAULT_RELEASE, RELEASE_NAMES } from './datamodel/release.js';
export { SimulatedFailure } from './simulated-failure.js';
export { type Exchange, type HttpHandler, type Route } from './http/handler.js';
export { type SimulatedPool } from './simulated-pool.js';
