import { hoisted, Shop } from './awkward.mjs'
export const early = hoisted('early')
export let later = () => Shop ? hoisted('later') : 0
try { new Shop() } catch (error) { console.log(error.name, error.message) }
