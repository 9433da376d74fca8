// Converters of Zigbee messages: attribute reports of clusters become one retained JSON object for each device, and settings of a
// device become commands of clusters.
//
// raw/<device>  {"cluster": "msTemperatureMeasurement", "data": {"measuredValue": 2150}}   ->  device/<device>  {"temperature": 21.5}
// set/<device>  {"state": "ON", "brightness": 128}                                        ->  command/<device>  {"cluster": "genOnOff", ..}
//
// The section of miqro.yml may calibrate each device: {devices: {kitchen: {temperature_calibration: -0.5, temperature_precision: 1}}}.
import { config, decode, log, me, on, publish, state } from 'miqro-sdk';

export * from 'miqro-sdk/service';

const number = (value, what) => {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new TypeError(`${what}: expected a number, found ${JSON.stringify(value)}`);
  return value;
};

// No message of a Zigbee network is longer. A longer one is not read, because decoding it takes time.
const LONGEST = 4096;

/** The JSON object of a payload. */
function object(payload) {
  if (payload.length > LONGEST) throw new RangeError(`expected at most ${LONGEST} bytes, found ${payload.length}`);
  const value = decode(payload, 'json');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('expected a JSON object');
  return value;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// from Zigbee, by cluster: the data of a report to the values of a device. An invalid reading of the sensor gives none.
const FROM = {
  msTemperatureMeasurement: ({ measuredValue }) => (measuredValue === -0x8000 ? {} : { temperature: number(measuredValue, 'measuredValue') / 100 }),
  msRelativeHumidity: ({ measuredValue }) => (measuredValue === 0xffff ? {} : { humidity: number(measuredValue, 'measuredValue') / 100 }),
  msIlluminanceMeasurement: ({ measuredValue }) => ({
    illuminance: measuredValue === 0 ? 0 : Math.round(10 ** ((number(measuredValue, 'measuredValue') - 1) / 10000)),
  }),
  msOccupancySensing: ({ occupancy }) => ({ occupancy: (number(occupancy, 'occupancy') & 1) === 1 }),
  genOnOff: ({ onOff }) => ({ state: number(onOff, 'onOff') === 1 ? 'ON' : 'OFF' }),
  genLevelCtrl: ({ currentLevel }) => ({ brightness: clamp(number(currentLevel, 'currentLevel'), 0, 254) }),
  genPowerCfg: (data) => ({
    ...('batteryVoltage' in data && { voltage: number(data.batteryVoltage, 'batteryVoltage') * 100 }),
    ...('batteryPercentageRemaining' in data && { battery: clamp(number(data.batteryPercentageRemaining, 'batteryPercentageRemaining') / 2, 0, 100) }),
  }),
  ssIasZone: ({ zonestatus }) => ({
    contact: (number(zonestatus, 'zonestatus') & 1) === 0,
    tamper: (zonestatus & 4) !== 0,
    battery_low: (zonestatus & 8) !== 0,
  }),
  lightingColorCtrl: ({ currentX, currentY, colorTemperature }) => ({
    ...(currentX !== undefined && { color: { x: +(currentX / 65535).toFixed(4), y: +(currentY / 65535).toFixed(4) } }),
    ...(colorTemperature !== undefined && { color_temp: number(colorTemperature, 'colorTemperature') }),
  }),
};

// to Zigbee, by key of a setting: the value to a command of a cluster.
const TO = {
  state: (value) => {
    const command = { ON: 'on', OFF: 'off', TOGGLE: 'toggle' }[String(value).toUpperCase()];
    if (!command) throw new TypeError(`state: expected ON, OFF or TOGGLE, found ${JSON.stringify(value)}`);
    return { cluster: 'genOnOff', command, payload: {} };
  },
  brightness: (value, { transition = 0 }) => ({
    cluster: 'genLevelCtrl',
    command: 'moveToLevelWithOnOff',
    payload: { level: clamp(Math.round(number(value, 'brightness')), 0, 254), transtime: Math.round(number(transition, 'transition') * 10) },
  }),
  color_temp: (value, { transition = 0 }) => ({
    cluster: 'lightingColorCtrl',
    command: 'moveToColorTemp',
    payload: { colortemp: Math.round(number(value, 'color_temp')), transtime: Math.round(number(transition, 'transition') * 10) },
  }),
  color: ({ x, y }, { transition = 0 }) => ({
    cluster: 'lightingColorCtrl',
    command: 'moveToColor',
    payload: { colorx: Math.round(number(x, 'color.x') * 65535), colory: Math.round(number(y, 'color.y') * 65535), transtime: Math.round(number(transition, 'transition') * 10) },
  }),
};

/** Adds `<key>_calibration` of the device, and rounds to `<key>_precision`. */
function calibrated(values, options = {}) {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => {
      if (typeof value !== 'number') return [key, value];
      const moved = value + (options[`${key}_calibration`] ?? 0);
      return [key, +moved.toFixed(options[`${key}_precision`] ?? 2)];
    }),
  );
}

on('raw/+', (payload, device) => {
  const { cluster, data = {} } = object(payload);
  const convert = FROM[cluster];
  if (!convert) {
    log.debug('no converter for a cluster', { cluster, device });
    return;
  }
  const values = calibrated(convert(data), config().devices?.[device]);
  if (Object.keys(values).length === 0) return;
  const merged = { ...state.get(device, {}), ...values };
  state.set(device, merged);
  publish(`device/${device}`, merged, { retain: true, qos: 1, onlyIfChanged: true });
});

on('set/+', (payload, device) => {
  const { transition, ...keys } = object(payload);
  for (const [key, value] of Object.entries(keys)) {
    const convert = TO[key];
    if (!convert) throw new TypeError(`${me().name} cannot set ${key}: expected ${Object.keys(TO).join(', ')}`);
    publish(`command/${device}`, convert(value, { transition }), { qos: 1 });
  }
});
