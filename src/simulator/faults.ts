/** What goes wrong in a simulated pool, as data. */
export { type Fault, type FaultAction, type FaultMatch } from './faults/fault.js';
export { FaultPlan } from './faults/fault-plan.js';
export { FAULT_ACTIONS, faultSchema, faultsJsonSchema, readFaults } from './faults/fault-schema.js';
export { StreamShaper, type ShapedStep } from './faults/stream-shaper.js';
