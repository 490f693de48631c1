// Calls of real clients, run with the packages of FOLDER: node node_clients.mjs FOLDER ADDRESS NAME...
// Each call ranks DOCUMENTS and returns [index or text, score] in the client's order.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, url, ...names] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/package.json`));
const load = async (module) => import(pathToFileURL(require.resolve(module)));

const QUERY = "what do cats eat";
const DOCUMENTS = ["steel prices rose again", "cats eat mice and birds", "the train is late", "most cats like fish"];
const KEY = "any-key", TOP = 3;
const asked = { model: "m", query: QUERY, documents: DOCUMENTS, topN: TOP };

const CALLS = {
  async cohere_v1() {
    const { CohereClient } = await load("cohere-ai");
    const reply = await new CohereClient({ token: KEY, environment: url, baseUrl: url }).rerank(asked);
    return reply.results.map((item) => [item.index, item.relevanceScore]);
  },
  async cohere_v2() {
    const { CohereClientV2 } = await load("cohere-ai");
    const reply = await new CohereClientV2({ token: KEY, environment: url, baseUrl: url }).rerank(asked);
    return reply.results.map((item) => [item.index, item.relevanceScore]);
  },
  async langchain() {
    const { CohereRerank } = await load("@langchain/cohere");
    const { CohereClient } = await load("cohere-ai");
    const client = new CohereClient({ token: KEY, environment: url, baseUrl: url });
    const found = await new CohereRerank({ client, model: "m", topN: TOP }).rerank(DOCUMENTS, QUERY);
    return found.map((item) => [item.index, item.relevanceScore]);
  },
  async ai_cohere() {
    const { rerank } = await load("ai");
    const { createCohere } = await load("@ai-sdk/cohere");
    const model = createCohere({ apiKey: KEY, baseURL: `${url}/v2` }).reranking("m");
    const { ranking } = await rerank({ model, query: QUERY, documents: DOCUMENTS, topN: TOP });
    return ranking.map((item) => [item.document, item.score]);
  },
  async ai_together() {
    const { rerank } = await load("ai");
    const { createTogetherAI } = await load("@ai-sdk/togetherai");
    const model = createTogetherAI({ apiKey: KEY, baseURL: `${url}/v1` }).reranking("m");
    const { ranking } = await rerank({ model, query: QUERY, documents: DOCUMENTS, topN: TOP });
    return ranking.map((item) => [item.document, item.score]);
  },
  async huggingface() {
    const { InferenceClient } = await load("@huggingface/inference");
    const inputs = { source_sentence: QUERY, sentences: DOCUMENTS };
    const found = await new InferenceClient(KEY, { endpointUrl: url }).sentenceSimilarity({ inputs });
    return found.map((score, index) => [index, score]);
  },
  async mixedbread() {
    const { Mixedbread } = await load("@mixedbread/sdk");
    const client = new Mixedbread({ apiKey: KEY, baseURL: url });
    const reply = await client.rerank({ model: "m", query: QUERY, input: DOCUMENTS, top_k: TOP });
    return reply.data.map((item) => [item.index, item.score]);
  },
  async voyageai() {
    const { VoyageAIClient } = await load("voyageai");
    const client = new VoyageAIClient({ apiKey: KEY, environment: url, baseUrl: url });
    const reply = await client.rerank({ model: "m", query: QUERY, documents: DOCUMENTS, topK: TOP });
    return reply.data.map((item) => [item.index, item.relevanceScore]);
  },
};

for (const name of names) {
  const found = await CALLS[name]().catch((error) => String(error.stack));
  console.log(JSON.stringify([name, found]));
}
