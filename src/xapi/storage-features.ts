/** A storage driver with this capability can track which blocks of a disk are written (facts 7.1). */
export const CHANGE_TRACKING = 'VDI_CONFIG_CBT';
