// One file of weir's own form for the OpenFeature clients, before and after a change.
export const native = (banner) => `
experiments:
  - {key: checkout_button, hash: fnv1a, variants: [{name: control, weight: 50}, {name: treatment, weight: 50}]}
  - {key: nobody, coverage: 0, variants: [{name: a, weight: 100}]}
flags:
  - {key: dark_mode, type: boolean, default: false, rules: [{when: {country: US}, value: true}]}
  - {key: banner, type: string, default: ${banner}}
  - {key: limit, type: number, default: 7.5}
  - {key: layout, type: json, default: {columns: 3, names: [a, b]}}
`;
