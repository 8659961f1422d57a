// What the scripts of the clients share: the case that they are told, and the person at the client.
export const test = JSON.parse(process.env.CASE);

// How a person, or the client in their place, answers a dialogue. A person reads for a while; a
// machine does not.
const reading = 1500;
const later = (answer) => new Promise((resolve) => setTimeout(resolve, reading, answer));
const accepted = {action: 'accept', content: {approve: true}};
const answers = {
  approve: () => later(accepted),
  decline: () => later({action: 'decline'}),
  'accept-at-once': () => accepted,
  'decline-at-once': () => ({action: 'decline'}),
  'cancel-at-once': () => ({action: 'cancel'}),
  silence: () => new Promise(() => {}),
};
export const asked = [];
export const answer = (params) => {
  asked.push(params);
  return answers[test.dialogue]();
};

export const headers = test.token ? {Authorization: `Bearer ${test.token}`} : {};

// The test reads the last line. The program ends without waiting for an open dialogue.
export const report = (received) => process.stdout.write(JSON.stringify({received, asked}) + '\n', () => process.exit(0));
