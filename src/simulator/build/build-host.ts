import { GIB } from '../../common/byte-size.js';
import { type HostCertificate } from '../certificate.js';
import { type CompletePool, type HostDefinition } from '../pool-definition.js';
import { SCHEMA_MAJOR } from '../datamodel/release.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { wireDate } from '../wire/wire-value.js';
import { buildInterfaces } from './build-network.js';
import { restrictionsOf } from './restrictions.js';

const CONTROL_DOMAIN_BYTES = 2 * GIB;
const HARDWARE_PLATFORMS = [0, 1, 2];

/** A host with its metrics, processors, certificate, network interfaces and control domain. */
export function buildHost(
  pool: SimulatedPool,
  host: HostDefinition,
  place: { readonly address: string; readonly certificate: HostCertificate },
  definition: CompletePool,
  networks: ReadonlyMap<string, string>,
): string {
  const { store } = pool;
  const now = wireDate(pool.nowMs());
  const memoryBytes = host.memoryGiB * GIB;
  const metrics = store.create('host_metrics', { memory_total: memoryBytes, live: true, last_updated: now });
  const ref = store.create('host', {
    ...(host.uuid === undefined ? {} : { uuid: host.uuid }),
    name_label: host.name,
    name_description: 'Default install',
    hostname: host.name,
    address: place.address,
    enabled: true,
    metrics,
    memory_overhead: CONTROL_DOMAIN_BYTES,
    API_version_major: 2,
    API_version_minor: pool.datamodel.release.apiMinor,
    API_version_vendor: 'XenSource',
    software_version: softwareVersion(pool, host.name),
    license_params: restrictionsOf(definition.restrictions),
    edition: 'xcp-ng',
    license_server: { address: 'localhost', port: '27000' },
    other_config: { agent_start_time: '1795359194.', boot_time: '1795354227.' },
    capabilities: ['xen-3.0-x86_64', 'xen-3.0-x86_32p', 'hvm-3.0-x86_32', 'hvm-3.0-x86_32p', 'hvm-3.0-x86_64'],
    sched_policy: 'credit',
    supported_bootloaders: ['pygrub', 'eliloader'],
    allowed_operations: ['vm_migrate', 'provision', 'vm_resume', 'enable', 'evacuate', 'vm_start'],
    cpu_info: cpuInfo(host.cpuCount),
    bios_strings: { 'bios-vendor': 'Simulated', 'system-manufacturer': 'Simulated', 'system-product-name': 'Host' },
    virtual_hardware_platform_versions: HARDWARE_PLATFORMS,
    tls_verification_enabled: true,
    https_only: host.isHttpsOnly,
    ssl_legacy: false,
    editions: ['free', 'xcp-ng'],
    chipset_info: { iommu: 'true' },
    iscsi_iqn: `iqn.2026-11.com.example:${host.name}`,
  });
  for (let number = 0; number < host.cpuCount; number += 1) {
    store.create('host_cpu', { host: ref, number, vendor: 'GenuineIntel', speed: 2400, modelname: 'Simulated CPU' });
  }
  buildCertificate(pool, ref, place.certificate);
  buildInterfaces(pool, { ref, host, address: place.address }, definition.networks, networks);
  pool.clockOffsetsMs.set(ref, host.clockOffsetMs);
  store.patch('host', ref, { control_domain: buildControlDomain(pool, ref, host) });
  return ref;
}

function buildCertificate(pool: SimulatedPool, host: string, certificate: HostCertificate): void {
  pool.certificates.set(host, certificate.certificatePem);
  if (!pool.datamodel.classes.has('Certificate')) return;
  pool.store.create('Certificate', {
    name: '',
    type: 'host',
    host,
    not_before: wireDate(certificate.notBeforeMs),
    not_after: wireDate(certificate.notAfterMs),
    fingerprint: certificate.fingerprint256,
    fingerprint_sha256: certificate.fingerprint256,
    fingerprint_sha1: certificate.fingerprint1,
  });
}

function buildControlDomain(pool: SimulatedPool, host: string, { name, cpuCount }: HostDefinition): string {
  const { store } = pool;
  return store.create('VM', {
    name_label: `Control domain on host: ${name}`,
    name_description: 'The domain which manages physical devices and manages other domains',
    power_state: 'Running',
    user_version: 1,
    is_control_domain: true,
    resident_on: host,
    affinity: host,
    memory_target: CONTROL_DOMAIN_BYTES,
    memory_static_max: CONTROL_DOMAIN_BYTES,
    memory_dynamic_max: CONTROL_DOMAIN_BYTES,
    memory_dynamic_min: CONTROL_DOMAIN_BYTES,
    memory_static_min: CONTROL_DOMAIN_BYTES,
    VCPUs_max: cpuCount,
    VCPUs_at_startup: cpuCount,
    actions_after_softreboot: 'soft_reboot',
    actions_after_shutdown: 'destroy',
    actions_after_reboot: 'destroy',
    actions_after_crash: 'destroy',
    HVM_shadow_multiplier: 1,
    other_config: { is_system_domain: 'true' },
    domid: 0,
    domarch: 'x64',
    domain_type: 'pv',
    generation_id: '',
    has_vendor_device: false,
    metrics: store.create('VM_metrics', {
      memory_actual: CONTROL_DOMAIN_BYTES,
      VCPUs_number: cpuCount,
      current_domain_type: 'pv',
    }),
  });
}

function softwareVersion(pool: SimulatedPool, hostname: string): Readonly<Record<string, string>> {
  const { release } = pool.datamodel;
  return {
    product_version: release.productVersion,
    product_version_text: release.name,
    platform_name: 'XCP',
    platform_version: release.platformVersion,
    product_brand: 'XCP-ng',
    build_number: 'simulated',
    hostname,
    date: '2026-11-22',
    xapi: release.xapiVersion.split('.').slice(0, 2).join('.'),
    xapi_build: release.xapiVersion,
    xen: release.xenVersion,
    linux: '4.19.0+1',
    xencenter_min: '2.21',
    xencenter_max: '2.21',
    network_backend: 'openvswitch',
    db_schema: `${SCHEMA_MAJOR}.${release.schemaMinor}`,
  };
}

function cpuInfo(cpuCount: number): Readonly<Record<string, string>> {
  return {
    cpu_count: String(cpuCount),
    socket_count: '1',
    vendor: 'GenuineIntel',
    speed: '2400.000',
    modelname: 'Simulated CPU @ 2.40GHz',
    family: '6',
    model: '85',
    stepping: '4',
    threads_per_core: '2',
  };
}
