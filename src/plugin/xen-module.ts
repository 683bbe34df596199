/**
 * The wiring of the plugin: every binding, on one screen. Two containers: one for the plugin's life (`pluginModule`),
 * and below it one for each open source (`sourceModule`), whose parts are singletons of that source.
 *
 * A host that must not use the `xen-api` package binds another `XapiClientFactory` (see `createPlugin`).
 */
import { ContainerModule } from 'inversify';
import { BackupHandler } from '../backup/backup-handler.js';
import { BaseKeeper } from '../backup/base-keeper.js';
import { DiskDataReader } from '../backup/disk-data-reader.js';
import { DisksExporter } from '../backup/disks-exporter.js';
import { HostBackupHandler } from '../backup/host-backup-handler.js';
import { ItemBackupRunner } from '../backup/item-backup-runner.js';
import { ItemExporter } from '../backup/item-exporter.js';
import { LevelPlanner } from '../backup/level-planner.js';
import { MachineBackupHandler } from '../backup/machine-backup-handler.js';
import { MachineBackupRunner } from '../backup/machine-backup-runner.js';
import { MachineContentExporter } from '../backup/machine-content-exporter.js';
import { MachinePreparer } from '../backup/machine-preparer.js';
import { ShutdownKeeper } from '../backup/shutdown-keeper.js';
import { PoolMetadataBackupHandler } from '../backup/pool-metadata-backup-handler.js';
import { SnapshotKeeper } from '../backup/snapshot-keeper.js';
import { StorageGuard } from '../backup/storage-guard.js';
import { InventoryBrowser } from '../browser/inventory-browser.js';
import { Clock } from '../common/clock.js';
import { type HostServices } from '../contract/index.js';
import { MemberSurvey } from '../provider/member-survey.js';
import { PoolCheck } from '../provider/pool-check.js';
import { Reconciler } from '../provider/reconciler.js';
import { SourceOpener } from '../provider/source-opener.js';
import { XenServerProvider } from '../provider/xen-server-provider.js';
import { XenServerSource } from '../provider/xen-server-source.js';
import { DiskAttacher } from '../restore/disk-attacher.js';
import { DiskImporter } from '../restore/disk-importer.js';
import { DiskMover } from '../restore/disk-mover.js';
import { DiskRestoreRunner } from '../restore/disk-restore-runner.js';
import { DiskRestoreSurvey } from '../restore/disk-restore-survey.js';
import { HostRestoreHandler } from '../restore/host-restore-handler.js';
import { ItemRestoreRunner } from '../restore/item-restore-runner.js';
import { MachineImporter } from '../restore/machine-importer.js';
import { MachineRestoreHandler } from '../restore/machine-restore-handler.js';
import { MachineRestoreRunner } from '../restore/machine-restore-runner.js';
import { Overwriter } from '../restore/overwriter.js';
import { PoolMetadataRestoreHandler } from '../restore/pool-metadata-restore-handler.js';
import { PowerSwitch } from '../restore/power-switch.js';
import { KindRestoreHandler } from '../restore/restore-handler.js';
import { RestoreSurvey } from '../restore/restore-survey.js';
import { StateApplier } from '../restore/state-applier.js';
import { ActiveRuns } from '../session/active-runs.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger, redactingLogger, Redactor } from '../session/redact.js';
import { SourceIdentity } from '../session/source-identity.js';
import { StorageScans } from '../session/storage-scans.js';
import { XapiPoolConnection } from '../session/xapi-pool-connection.js';
import { type XapiClient, XapiClientFactory } from '../xapi/xapi-client.js';
import { XenApiClient } from '../xapi/xen-api-client.js';
import { ContainerSourceOpener, HostServicesToken, SourceContainers } from './container-source-opener.js';

/** The kinds that one handler serves, in the order in which a bare name is tried. */
const MACHINE_KINDS = ['vm', 'template'] as const;

/** Lives as long as the plugin is active. */
export function pluginModule(host: HostServices, clock: Clock, containers: SourceContainers): ContainerModule {
  return new ContainerModule(({ bind }) => {
    bind(HostServicesToken).toConstantValue(host);
    bind(Clock).toConstantValue(clock);
    bind(SourceContainers).toConstantValue(containers);
    bind(ActiveRuns).toSelf().inSingletonScope();
    bind(SourceOpener).to(ContainerSourceOpener).inSingletonScope();
    bind(XenServerProvider).toSelf().inSingletonScope();
  });
}

/** What differs from one open source to the next. */
export interface SourceParameters {
  readonly settings: ConnectionSettings;
  readonly identity: SourceIdentity;
  /** Replaces the control channel; absent: the one over `xen-api`. */
  readonly newClient: ((settings: ConnectionSettings) => XapiClientFactory) | undefined;
}

/** Lives as long as one source is open. */
export function sourceModule(host: HostServices, { settings, identity, newClient }: SourceParameters): ContainerModule {
  return new ContainerModule(({ bind }) => {
    bind(ConnectionSettings).toConstantValue(settings);
    bind(SourceIdentity).toConstantValue(identity);
    bind(Redactor).toSelf().inSingletonScope();
    bind(RedactedLogger)
      .toDynamicValue((context) =>
        redactingLogger(host.logger.child({ client: identity.clientName }), context.get(Redactor)),
      )
      .inSingletonScope();
    bind(XapiClientFactory).toConstantValue((newClient ?? overXenApi)(settings));
    bind(PoolConnection).to(XapiPoolConnection).inSingletonScope();
    bind(OwnObjects).toSelf().inSingletonScope();
    bind(StorageScans).toSelf().inSingletonScope();

    bind(InventoryBrowser).toSelf().inSingletonScope();

    bind(StorageGuard).toSelf().inSingletonScope();
    bind(ShutdownKeeper).toSelf().inSingletonScope();
    bind(MachinePreparer).toSelf().inSingletonScope();
    bind(SnapshotKeeper).toSelf().inSingletonScope();
    bind(BaseKeeper).toSelf().inSingletonScope();
    bind(LevelPlanner).toSelf().inSingletonScope();
    bind(DiskDataReader).toSelf().inSingletonScope();
    bind(DisksExporter).toSelf().inSingletonScope();
    bind(MachineContentExporter).toSelf().inSingletonScope();
    bind(MachineBackupRunner).toSelf().inSingletonScope();
    bind(ItemExporter).toSelf().inSingletonScope();
    bind(ItemBackupRunner).toSelf().inSingletonScope();
    // These two know their names by the first word; what is left may be a machine.
    bind(BackupHandler).to(PoolMetadataBackupHandler).inSingletonScope();
    bind(BackupHandler).to(HostBackupHandler).inSingletonScope();
    for (const kind of MACHINE_KINDS) {
      bind(BackupHandler)
        .toDynamicValue((context) => new MachineBackupHandler(kind, context.get(MachineBackupRunner)))
        .inSingletonScope();
    }

    bind(RestoreSurvey).toSelf().inSingletonScope();
    bind(StateApplier).toSelf().inSingletonScope();
    bind(DiskMover).toSelf().inSingletonScope();
    bind(MachineImporter).toSelf().inSingletonScope();
    bind(Overwriter).toSelf().inSingletonScope();
    bind(PowerSwitch).toSelf().inSingletonScope();
    bind(MachineRestoreRunner).toSelf().inSingletonScope();
    bind(DiskRestoreSurvey).toSelf().inSingletonScope();
    bind(DiskImporter).toSelf().inSingletonScope();
    bind(DiskAttacher).toSelf().inSingletonScope();
    bind(DiskRestoreRunner).toSelf().inSingletonScope();
    bind(ItemRestoreRunner).toSelf().inSingletonScope();
    bind(KindRestoreHandler).to(PoolMetadataRestoreHandler).inSingletonScope();
    bind(KindRestoreHandler).to(HostRestoreHandler).inSingletonScope();
    for (const kind of MACHINE_KINDS) {
      bind(KindRestoreHandler)
        .toDynamicValue(
          (context) =>
            new MachineRestoreHandler(kind, context.get(MachineRestoreRunner), context.get(DiskRestoreRunner)),
        )
        .inSingletonScope();
    }

    bind(Reconciler).toSelf().inSingletonScope();
    bind(MemberSurvey).toSelf().inSingletonScope();
    bind(PoolCheck).toSelf().inSingletonScope();
    bind(XenServerSource).toSelf().inSingletonScope();
  });
}

function overXenApi({ trust, connectTimeoutMs }: ConnectionSettings): XapiClientFactory {
  return (endpoint): XapiClient => new XenApiClient({ endpoint, trust, connectTimeoutMs });
}
