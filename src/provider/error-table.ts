import { type BackupErrorCode } from '../contract/backup-error.js';

/** What a XAPI code means to the person in front of the backup. */
export interface ErrorMeaning {
  readonly code: BackupErrorCode;
  readonly message: string;
  /** Which of the code's parameters ends the sentence, when it says what the sentence is about. */
  readonly shows?: number;
  readonly hint?: string;
  /** The log on the host that has the details, when the code alone does not say enough. */
  readonly log?: string;
  readonly isRetriable?: boolean;
}

/** XAPI's own log; every call and task is in it by its UUID. */
export const XAPI_LOG = '/var/log/xensource.log on the coordinator';
/** What the storage drivers did. */
const STORAGE_LOG = '/var/log/SMlog on the host that has the storage attached';
const GUEST_LOG = "/var/log/xensource.log on the machine's host, and the guest's own event log";

const PASSWORD = 'Correct user name or password. It is not tried again by itself, so that the account is not locked.';
const LATER = 'Try again later.';
const SPACE = 'Free space on the storage repository, or use another one.';
const ROLE = 'Give the account a role that allows it; "xen-backup check" says which one backups need.';

const booting: ErrorMeaning = {
  code: 'SOURCE_BUSY',
  message: 'The host runs, but has no working connection to its pool.',
  hint: 'Wait until its toolstack is up, or give the address of another member.',
  isRetriable: true,
};
const full: ErrorMeaning = {
  code: 'STORAGE_FULL',
  message: 'The storage repository has no space left.',
  hint: SPACE,
  log: STORAGE_LOG,
};
const storageDown: ErrorMeaning = {
  code: 'SOURCE_FAILED',
  message: 'The storage repository does not work at the moment.',
  hint: 'Check that it is plugged on its hosts.',
  log: STORAGE_LOG,
  isRetriable: true,
};
const cbtUnusable: ErrorMeaning = {
  code: 'SOURCE_FAILED',
  message: 'The record of changed blocks of a disk cannot be used.',
  hint: 'Make a full backup; it starts a new record of changes.',
  log: STORAGE_LOG,
};
const device: ErrorMeaning = {
  code: 'OBJECT_NOT_SUPPORTED',
  message: 'A device of the machine does not allow this.',
  hint: 'Back it up shut down (offline), or take the device away.',
};
const noSuspend: ErrorMeaning = {
  code: 'OBJECT_NOT_SUPPORTED',
  message: 'The machine cannot be suspended, so its memory cannot be saved.',
  hint: 'Choose crash consistency or an offline backup.',
};
const gone: ErrorMeaning = {
  code: 'OBJECT_NOT_FOUND',
  message: 'The object is not there, or not any more.',
  hint: 'Browse shows what there is. Somebody may have removed it meanwhile.',
};
const unsupported: ErrorMeaning = {
  code: 'SOURCE_UNSUPPORTED',
  message: 'This release of the pool does not know the call.',
  hint: 'Update the pool, or choose a mode that it offers.',
};
const restricted: ErrorMeaning = {
  code: 'SOURCE_PERMISSION_DENIED',
  message: "The pool's licence does not allow this.",
  hint: 'Use an edition with this feature, or another mode.',
};
const quiesce: ErrorMeaning = {
  code: 'SNAPSHOT_FAILED',
  message: 'The guest could not be quiesced.',
  hint: 'Check the VSS provider in the guest, or choose crash consistency.',
  log: GUEST_LOG,
  isRetriable: true,
};
const badArchive: ErrorMeaning = {
  code: 'RESTORE_FAILED',
  message: 'The pool refused the archive.',
  hint: 'Verify the saveset; if it is whole, restore to a pool of at least the release that it was made on.',
  log: XAPI_LOG,
};
const notInBackup: ErrorMeaning = {
  code: 'RESTORE_FAILED',
  message: 'Something that the restored configuration needs is not there.',
  hint: 'Restore the storage or network that is named first, or restore to another pool configuration.',
};
const script: ErrorMeaning = {
  code: 'SOURCE_FAILED',
  message: 'The backup script on the host failed.',
  hint: 'XAPI gives its log in the parameters: look there for the step that failed, such as a full disk.',
  log: '/var/log/xensource.log on the host itself',
};
const unreachableMember: ErrorMeaning = {
  code: 'SOURCE_UNREACHABLE',
  message: 'The coordinator cannot reach the host that must do the work.',
  hint: 'Check that the host runs and that its toolstack answers.',
  log: XAPI_LOG,
  isRetriable: true,
};
const shutdown: ErrorMeaning = {
  code: 'SOURCE_FAILED',
  message: 'The machine did not shut down in time.',
  hint: 'Shut it down in the guest, or allow a forced shutdown.',
  log: GUEST_LOG,
};
const events: ErrorMeaning = {
  code: 'SOURCE_FAILED',
  message: "The pool's events were lost.",
  hint: LATER,
  log: XAPI_LOG,
  isRetriable: true,
};
const wrongObject: ErrorMeaning = {
  code: 'OBJECT_NOT_SUPPORTED',
  message: 'XAPI does not allow this with that object.',
  hint: 'The parameters name the object and the operation; choose another object.',
};
const sameIdentity: ErrorMeaning = {
  code: 'TARGET_EXISTS',
  message: 'A machine with the same identity exists.',
  hint: 'Restore it over the existing machine, or as a new one under another name.',
};

/**
 * XAPI's codes (facts 10; `ocaml/xapi-consts/api_errors.ml`). What is not in here becomes SOURCE_FAILED, or the code that
 * the caller names for its step. TASK_LOST is ours.
 */
export const XAPI_ERRORS: Readonly<Record<string, ErrorMeaning>> = {
  SESSION_INVALID: {
    code: 'SOURCE_FAILED',
    message: 'The pool ended the session.',
    hint: 'Try again. If it happens often, look for something that uses up the sessions of this account.',
    isRetriable: true,
  },
  SESSION_AUTHENTICATION_FAILED: {
    code: 'SOURCE_AUTH_REFUSED',
    message: 'The pool refused user name or password.',
    hint: PASSWORD,
  },
  SESSION_AUTHORIZATION_FAILED: {
    code: 'SOURCE_PERMISSION_DENIED',
    message: 'The account has no role in this pool.',
    hint: 'Give the account a role in the pool, at least VM admin.',
  },
  RBAC_PERMISSION_DENIED: {
    code: 'SOURCE_PERMISSION_DENIED',
    message: "The account's role does not allow this.",
    shows: 0,
    hint: ROLE,
  },
  HOST_IS_SLAVE: {
    code: 'SOURCE_UNREACHABLE',
    message: 'The pool has no coordinator that answers.',
    shows: 0,
    hint: 'Check the coordinator that is named here, or make another member the coordinator.',
    isRetriable: true,
  },
  HOST_STILL_BOOTING: booting,
  HOST_HAS_NO_MANAGEMENT_IP: booting,
  HOST_MASTER_CANNOT_TALK_BACK: booting,
  HOST_UNKNOWN_TO_MASTER: booting,
  HOST_ITS_OWN_SLAVE: booting,
  HOST_BROKEN: booting,
  HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR: booting,
  CANNOT_CONTACT_HOST: unreachableMember,
  HOST_OFFLINE: unreachableMember,
  HOST_NOT_LIVE: unreachableMember,
  HOST_DISABLED: unreachableMember,
  NO_HOSTS_AVAILABLE: {
    code: 'SOURCE_FAILED',
    message: 'No host that is up can see all the storage the machine uses.',
    hint: 'Check that its storage repositories are plugged on one common host.',
    isRetriable: true,
  },
  OTHER_OPERATION_IN_PROGRESS: {
    code: 'SOURCE_BUSY',
    message: 'Another operation holds the object.',
    hint: LATER,
    isRetriable: true,
  },
  TOO_MANY_PENDING_TASKS: {
    code: 'SOURCE_BUSY',
    message: 'The pool has too much to do.',
    hint: LATER,
    isRetriable: true,
  },
  TOO_BUSY: { code: 'SOURCE_BUSY', message: 'The pool has too much to do.', hint: LATER, isRetriable: true },
  NOT_SUPPORTED_DURING_UPGRADE: {
    code: 'SOURCE_BUSY',
    message: 'The pool is being upgraded.',
    hint: 'Try again when the rolling upgrade is finished.',
    isRetriable: true,
  },
  VDI_IN_USE: {
    code: 'SOURCE_BUSY',
    message: 'A disk is still in use.',
    hint: 'Wait until what uses it has ended, then try again.',
    isRetriable: true,
  },
  VDI_NOT_AVAILABLE: storageDown,
  SR_BACKEND_FAILURE_46: storageDown,
  SR_BACKEND_FAILURE_40: storageDown,
  SR_BACKEND_FAILURE_47: storageDown,
  SR_HAS_NO_PBDS: storageDown,
  SR_NOT_ATTACHED: storageDown,
  SR_UNHEALTHY: storageDown,
  VDI_IO_ERROR: {
    code: 'SOURCE_FAILED',
    message: 'The storage failed to read or write a disk.',
    hint: 'Check the storage, then try again.',
    log: STORAGE_LOG,
    isRetriable: true,
  },
  SR_BACKEND_FAILURE_44: full,
  SR_FULL: full,
  SR_BACKEND_FAILURE_109: {
    code: 'SNAPSHOT_FAILED',
    message: "The disk's chain of snapshots is too long.",
    hint: 'Wait until the storage has coalesced deleted snapshots, and delete snapshots that are not needed.',
    log: STORAGE_LOG,
    isRetriable: true,
  },
  SR_BACKEND_FAILURE_459: cbtUnusable,
  SR_BACKEND_FAILURE_460: cbtUnusable,
  VDI_NO_CBT_METADATA: cbtUnusable,
  VDI_TOO_LARGE: {
    code: 'OBJECT_NOT_SUPPORTED',
    message: 'The disk is larger than the format can carry.',
    hint: 'Use a full backup of the machine instead of disk images.',
  },
  VDI_MISSING: gone,
  HANDLE_INVALID: gone,
  UUID_INVALID: gone,
  VM_BAD_POWER_STATE: {
    code: 'SOURCE_BUSY',
    message: 'The machine is not in the power state this needs.',
    hint: 'Somebody started or stopped it meanwhile. Try again, or choose another consistency.',
    isRetriable: true,
  },
  VM_LACKS_FEATURE: noSuspend,
  VM_NON_SUSPENDABLE: noSuspend,
  VM_MISSING_PV_DRIVERS: noSuspend,
  VM_OLD_PV_DRIVERS: noSuspend,
  VM_IS_IMMOBILE: device,
  VM_HAS_PCI_ATTACHED: device,
  VM_HAS_VGPU: device,
  VM_HAS_VUSBS: device,
  VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION: device,
  VM_SHUTDOWN_TIMEOUT: shutdown,
  VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT: shutdown,
  OPERATION_BLOCKED: {
    code: 'SOURCE_PERMISSION_DENIED',
    message: 'Somebody blocked this operation on the machine.',
    hint: 'Remove the entry from its blocked_operations; the parameters have the reason given.',
  },
  OPERATION_NOT_ALLOWED: wrongObject,
  VM_IS_TEMPLATE: { ...wrongObject, message: 'XAPI does not allow this with a template.' },
  VM_IS_SNAPSHOT: { ...wrongObject, message: 'XAPI does not allow this with a snapshot.' },
  VM_CANNOT_DELETE_DEFAULT_TEMPLATE: { ...wrongObject, message: 'A default template cannot be deleted.' },
  LICENCE_RESTRICTION: restricted,
  FEATURE_RESTRICTED: restricted,
  MESSAGE_METHOD_UNKNOWN: unsupported,
  MESSAGE_REMOVED: unsupported,
  MESSAGE_PARAMETER_COUNT_MISMATCH: unsupported,
  VM_SNAPSHOT_WITH_QUIESCE_FAILED: quiesce,
  VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT: quiesce,
  VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED: quiesce,
  VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND: quiesce,
  XEN_VSS_REQ_ERROR_INIT_FAILED: quiesce,
  XEN_VSS_REQ_ERROR_PROV_NOT_LOADED: quiesce,
  XEN_VSS_REQ_ERROR_NO_VOLUMES_SUPPORTED: quiesce,
  XEN_VSS_REQ_ERROR_START_SNAPSHOT_SET_FAILED: quiesce,
  XEN_VSS_REQ_ERROR_ADDING_VOLUME_TO_SNAPSET_FAILED: quiesce,
  XEN_VSS_REQ_ERROR_PREPARING_WRITERS: quiesce,
  XEN_VSS_REQ_ERROR_CREATING_SNAPSHOT: quiesce,
  XEN_VSS_REQ_ERROR_CREATING_SNAPSHOT_XML_STRING: quiesce,
  VM_CHECKPOINT_SUSPEND_FAILED: {
    code: 'SNAPSHOT_FAILED',
    message: 'The machine could not be suspended for the snapshot.',
    hint: 'Choose crash consistency.',
    log: GUEST_LOG,
  },
  VM_CHECKPOINT_RESUME_FAILED: {
    code: 'SNAPSHOT_FAILED',
    message: 'The machine did not resume after the snapshot and may be down.',
    hint: 'Look at the machine at once. Then choose crash consistency.',
    log: GUEST_LOG,
  },
  TASK_CANCELLED: {
    code: 'CANCELLED',
    message: 'The task was cancelled in the pool.',
    hint: 'If it was not you, ask who cancels tasks there.',
  },
  MAP_DUPLICATE_KEY: {
    code: 'SOURCE_BUSY',
    message: 'Somebody else wrote the same entry of an object at the same moment.',
    hint: LATER,
    isRetriable: true,
  },
  TASK_LOST: {
    code: 'TRANSFER_INTERRUPTED',
    message: 'The pool lost the task, as it does when its toolstack restarts.',
    hint: LATER,
    log: XAPI_LOG,
    isRetriable: true,
  },
  IMPORT_ERROR: badArchive,
  IMPORT_ERROR_GENERIC: badArchive,
  IMPORT_ERROR_PREMATURE_EOF: badArchive,
  IMPORT_ERROR_SOME_CHECKSUMS_FAILED: badArchive,
  IMPORT_ERROR_CANNOT_HANDLE_CHUNKED: badArchive,
  IMPORT_ERROR_FAILED_TO_FIND_OBJECT: badArchive,
  IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND: badArchive,
  IMPORT_ERROR_UNEXPECTED_FILE: badArchive,
  IMPORT_INCOMPATIBLE_VERSION: {
    code: 'RESTORE_FAILED',
    message: 'The archive was made by a newer release than this pool runs.',
    hint: 'Restore to a pool of at least the release that the backup was made on.',
  },
  DEFAULT_SR_NOT_FOUND: {
    code: 'STORAGE_NOT_FOUND',
    message: 'The pool has no default storage repository.',
    hint: 'Name the storage to restore to.',
  },
  SR_OPERATION_NOT_SUPPORTED: {
    code: 'STORAGE_NOT_FOUND',
    message: 'The storage repository cannot hold disks.',
    hint: 'Name another storage repository.',
  },
  DUPLICATE_MAC_SEED: sameIdentity,
  DUPLICATE_VM: sameIdentity,
  VM_TO_IMPORT_IS_NOT_NEWER_VERSION: {
    ...sameIdentity,
    message: 'The machine exists in this or a later version.',
  },
  VDI_LOCATION_MISSING: notInBackup,
  VDI_CONTENT_ID_MISSING: notInBackup,
  RESTORE_INCOMPATIBLE_VERSION: badArchive,
  RESTORE_TARGET_MISSING_DEVICE: notInBackup,
  RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP: notInBackup,
  BACKUP_SCRIPT_FAILED: script,
  RESTORE_SCRIPT_FAILED: { ...script, code: 'RESTORE_FAILED', message: 'The restore script on the host failed.' },
  EVENTS_LOST: events,
  EVENT_FROM_TOKEN_PARSE_FAILURE: events,
  CLIENT_ERROR: {
    code: 'TRANSFER_INTERRUPTED',
    message: 'The pool saw the transfer break off.',
    hint: LATER,
    isRetriable: true,
  },
  INTERNAL_ERROR: {
    code: 'SOURCE_FAILED',
    message: 'XAPI met an error of its own.',
    hint: 'Try once more; if it fails again, look at the log.',
    log: XAPI_LOG,
    isRetriable: true,
  },
};
