/** References of what a pool file names, by name. */
export interface BuiltPool {
  readonly hosts: ReadonlyMap<string, string>;
  readonly networks: ReadonlyMap<string, string>;
  readonly storage: ReadonlyMap<string, string>;
  readonly images: ReadonlyMap<string, string>;
  readonly appliances: ReadonlyMap<string, string>;
}
