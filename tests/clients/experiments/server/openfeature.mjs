// OpenFeature's server SDK with its OFREP provider: one request an evaluation.
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { Gateway, expect, finish } from '../gateway.mjs';
import { native } from '../native.mjs';

const gateway = await Gateway.start(process.argv[2], native('first'));
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: gateway.url }));
const client = OpenFeature.getClient();
const us = { targetingKey: 'user_1', country: 'US' };
const short = ({ value, variant, reason, errorCode }) => [value, variant, reason, errorCode];

expect('an experiment is a string flag', short(await client.getStringDetails('checkout_button', 'x', us)),
  ['treatment', 'treatment', 'SPLIT', undefined]);
expect('another user', await client.getStringValue('checkout_button', 'x', { targetingKey: 'user_2' }), 'control');
expect('boolean', short(await client.getBooleanDetails('dark_mode', false, us)), [true, undefined, 'TARGETING_MATCH', undefined]);
expect('not targeted', await client.getBooleanValue('dark_mode', true, { targetingKey: 'user_1' }), false);
expect('string', await client.getStringValue('banner', 'x', us), 'first');
expect('number', await client.getNumberValue('limit', 0, us), 7.5);
expect('object', await client.getObjectValue('layout', {}, us), { columns: 3, names: ['a', 'b'] });
expect('who is not in an experiment gets the code default', await client.getStringValue('nobody', 'code', us), 'code');
expect('unknown', short(await client.getBooleanDetails('none', true, us)), [true, undefined, 'ERROR', 'FLAG_NOT_FOUND']);
expect('wrong type', short(await client.getBooleanDetails('banner', true, us)), [true, undefined, 'ERROR', 'TYPE_MISMATCH']);
expect('no unit', short(await client.getStringDetails('checkout_button', 'x', {})),
  ['x', undefined, 'ERROR', 'TARGETING_KEY_MISSING']);
await OpenFeature.close();
gateway.stop();
finish();
